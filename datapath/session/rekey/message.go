package rekey

import "encoding/binary"

// Operations of rekey records.
//
//	flight {1, number of the rekey (4), DTLS records}
//	ask    {2, number of the rekey that the asker's keys are of (4)}
const (
	OpFlight  = 1
	OpRequest = 2

	// HeaderSize is the length in front of a message's body.
	HeaderSize = 1 + 4
)

// Message is the body of a rekey record.
type Message struct {
	Op   byte
	ID   uint32
	Body []byte
}

// Parse decodes a message. Its Body is part of b.
func Parse(b []byte) (m Message, ok bool) {
	if len(b) < HeaderSize {
		return Message{}, false
	}
	m = Message{Op: b[0], ID: binary.BigEndian.Uint32(b[1:]), Body: b[HeaderSize:]}
	switch m.Op {
	case OpFlight:
		return m, len(m.Body) > 0
	case OpRequest:
		return m, len(m.Body) == 0
	default:
		return Message{}, false
	}
}

// Append encodes the message.
func (m Message) Append(dst []byte) []byte {
	dst = append(dst, m.Op)
	dst = binary.BigEndian.AppendUint32(dst, m.ID)
	return append(dst, m.Body...)
}
