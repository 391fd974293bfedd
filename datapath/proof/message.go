package proof

import "errors"

// Messages, each one datagram of DTLS. The first byte is the kind.
const (
	opElements = 1 // the higher end's elements
	opProof    = 2 // the lower end's elements, as many as the second byte says, and the tags of all pairs
	opChosen   = 3 // the pair that serves, lower end's element first, and the higher end's tag of it
	opRefused  = 4 // no tag was right

	tagSize = 16
	// MaxSecrets is how many secrets an end may have at a time: the one that all are to
	// use, and the one that all are to use next, or used before.
	MaxSecrets = 2
	// MaxMessage is the size of the largest message.
	MaxMessage = 2 + MaxSecrets*elementSize + MaxSecrets*MaxSecrets*tagSize
)

var errMessage = errors.New("malformed message of a proof")

func appendElements(dst []byte, shares []share) []byte {
	for _, s := range shares {
		dst = append(dst, s.element...)
	}
	return dst
}

// parseElements returns the peer's elements, joined.
func parseElements(m []byte) ([]byte, error) {
	n := len(m) - 1
	if n <= 0 || n%elementSize != 0 || n/elementSize > MaxSecrets || m[0] != opElements {
		return nil, errMessage
	}
	return m[1:], nil
}

// parseProof returns the peer's elements, joined, and its tags of all pairs with ours;
// own is how many elements we have.
func parseProof(m []byte, own int) (elements []byte, tags [][]byte, err error) {
	if len(m) < 2 || m[0] != opProof || m[1] == 0 || m[1] > MaxSecrets {
		return nil, nil, errMessage
	}
	n := int(m[1])
	if len(m) != 2+n*elementSize+n*own*tagSize {
		return nil, nil, errMessage
	}
	elements, m = m[2:2+n*elementSize], m[2+n*elementSize:]
	for ; len(m) > 0; m = m[tagSize:] {
		tags = append(tags, m[:tagSize])
	}
	return elements, tags, nil
}

// parseChosen returns the pair, as places among the lower end's elements and the
// higher's, and the tag.
func parseChosen(m []byte) (lower, higher int, tag []byte, err error) {
	if len(m) != 3+tagSize || m[0] != opChosen || m[1] >= MaxSecrets || m[2] >= MaxSecrets {
		return 0, 0, nil, errMessage
	}
	return int(m[1]), int(m[2]), m[3:], nil
}
