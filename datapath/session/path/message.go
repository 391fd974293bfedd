package path

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// Operations of probe records, and the bodies they begin.
//
//	request     {1, token (8)}
//	answer      {2, token (8), address (16) and port (2) the request came from}
//	goodbye     {3}
//	candidates  {4, sequence (4), candidates as in parameters}
//	received    {5, sequence (4)}
//	sized       {6, token (8), zeros}
//	size came   {7, token (8), zeros}, as long as the request
//	narrow      {8}
const (
	OpRequest     = 1
	OpAnswer      = 2
	OpGoodbye     = 3
	OpCandidates  = 4
	OpReceived    = 5
	OpSizeRequest = 6
	OpSizeAnswer  = 7
	OpNarrow      = 8

	// RequestSize, AnswerSize and SequenceSize are lengths of bodies in bytes.
	RequestSize  = 1 + 8
	AnswerSize   = RequestSize + 16 + 2
	SequenceSize = 1 + 4
)

// AppendAnswer appends the answer to a request that came from an address.
func AppendAnswer(dst, request []byte, from netip.AddrPort) []byte {
	dst = append(dst, OpAnswer)
	dst = append(dst, request[1:RequestSize]...)
	addr := from.Addr().As16()
	dst = append(dst, addr[:]...)
	return binary.BigEndian.AppendUint16(dst, from.Port())
}

// AppendPadded appends a body of size bytes that asks whether a record of its size arrives,
// or says that one has.
func AppendPadded(dst []byte, op byte, token uint64, size int) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, op), token)
	return append(dst, make([]byte, size-RequestSize)...)
}

var errCandidates = errors.New("candidates are malformed")

// AppendCandidates encodes a candidates record.
func AppendCandidates(dst []byte, sequence uint32, candidates []Candidate) []byte {
	dst = binary.BigEndian.AppendUint32(append(dst, OpCandidates), sequence)
	return AppendCandidateFields(dst, candidates)
}

// ParseCandidates decodes a candidates record. It skips fields of later versions.
func ParseCandidates(b []byte) (sequence uint32, candidates []Candidate, err error) {
	if len(b) < SequenceSize || b[0] != OpCandidates {
		return 0, nil, errCandidates
	}
	sequence = binary.BigEndian.Uint32(b[1:])
	for b = b[SequenceSize:]; len(b) > 0; {
		if len(b) < 3 || int(binary.BigEndian.Uint16(b[1:])) > len(b)-3 {
			return 0, nil, errCandidates
		}
		typ, value := b[0], b[3:3+int(binary.BigEndian.Uint16(b[1:]))]
		b = b[3+len(value):]
		if typ != FieldCandidate {
			continue
		}
		if candidates, err = AddCandidate(candidates, value); err != nil {
			return 0, nil, err
		}
	}
	return sequence, candidates, nil
}

// AppendReceived encodes the confirmation of a candidates record.
func AppendReceived(dst []byte, sequence uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, OpReceived), sequence)
}
