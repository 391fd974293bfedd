package path

import "encoding/binary"

// MaxCandidates is the largest number of candidates that one end names.
const MaxCandidates = 16

// FieldCandidate is the type of the fields that hold a candidate, in parameters and in
// candidates records.
const FieldCandidate = 5

// fieldHead is the length of the type and length in front of each field.
const fieldHead = 1 + 2

// AppendField appends a field of {type (1), length (2), value}.
func AppendField(dst []byte, typ byte, value []byte) []byte {
	dst = append(dst, typ)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(value)))
	return append(dst, value...)
}

// ICEChars reports whether b consists of ice-chars (RFC 8839 section 5.4) and its length is
// within the bounds.
func ICEChars(b []byte, shortest, longest int) bool {
	if len(b) < shortest || len(b) > longest {
		return false
	}
	for _, c := range b {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '+', c == '/':
		default:
			return false
		}
	}
	return true
}
