package session

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"
)

// Repetition of a candidates record that is not received.
const (
	tellFirst = 250 * time.Millisecond // doubled each time
	tellMost  = 10                     // then the peer is one that does not know them
)

var errCandidates = errors.New("candidates are malformed")

// appendCandidates encodes a candidates record.
func appendCandidates(dst []byte, sequence uint32, candidates []Candidate) []byte {
	dst = binary.BigEndian.AppendUint32(append(dst, opCandidates), sequence)
	return appendCandidateFields(dst, candidates)
}

// parseCandidates decodes one. Fields of later versions are skipped.
func parseCandidates(b []byte) (sequence uint32, candidates []Candidate, err error) {
	if len(b) < sequenceSize || b[0] != opCandidates {
		return 0, nil, errCandidates
	}
	sequence = binary.BigEndian.Uint32(b[1:])
	for b = b[sequenceSize:]; len(b) > 0; {
		if len(b) < 3 || int(binary.BigEndian.Uint16(b[1:])) > len(b)-3 {
			return 0, nil, errCandidates
		}
		typ, value := b[0], b[3:3+int(binary.BigEndian.Uint16(b[1:]))]
		b = b[3+len(value):]
		if typ != fieldCandidate {
			continue
		}
		if candidates, err = addCandidate(candidates, value); err != nil {
			return 0, nil, err
		}
	}
	return sequence, candidates, nil
}

// appendReceived encodes that a candidates record has come.
func appendReceived(dst []byte, sequence uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, opReceived), sequence)
}

// telling brings the own candidates to the peer: repeated until they are received,
// newer ones in the place of older. It is a pure machine.
type telling struct {
	candidates []Candidate // told last
	sequence   uint32
	waiting    bool
	sent       int
	next       time.Duration // when append is due, while waiting
}

// tell begins with new candidates, unless the peer has them.
func (t *telling) tell(now time.Duration, candidates []Candidate) {
	if slices.Equal(t.candidates, candidates) {
		return
	}
	t.candidates = candidates
	t.repeat(now)
}

// repeat tells the candidates under a new number.
func (t *telling) repeat(now time.Duration) {
	t.waiting, t.sent, t.next = true, 0, now
	t.sequence++
}

// received is told of the peer's receipt.
func (t *telling) received(sequence uint32) {
	if sequence == t.sequence {
		t.waiting = false
	}
}

// tick tells whether the record is to be sent now.
func (t *telling) tick(now time.Duration) bool {
	if !t.waiting || now < t.next {
		return false
	}
	t.next = now + tellFirst<<min(t.sent, 4)
	t.sent++
	t.waiting = t.sent < tellMost
	return true
}
