package session

import "encoding/binary"

// Operations of rekey records.
//
//	flight {1, number of the rekey (4), DTLS records}
//	ask    {2, number of the rekey that the asker's keys are of (4)}
const (
	opFlight = 1
	opAsk    = 2

	rekeyHeader = 1 + 4
)

type rekeyMessage struct {
	op   byte
	id   uint32
	body []byte
}

func parseRekey(b []byte) (m rekeyMessage, ok bool) {
	if len(b) < rekeyHeader {
		return rekeyMessage{}, false
	}
	m = rekeyMessage{op: b[0], id: binary.BigEndian.Uint32(b[1:]), body: b[rekeyHeader:]}
	switch m.op {
	case opFlight:
		return m, len(m.body) > 0
	case opAsk:
		return m, len(m.body) == 0
	default:
		return rekeyMessage{}, false
	}
}

func (m rekeyMessage) append(dst []byte) []byte {
	dst = append(dst, m.op)
	dst = binary.BigEndian.AppendUint32(dst, m.id)
	return append(dst, m.body...)
}
