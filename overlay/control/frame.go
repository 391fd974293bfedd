package control

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// MaxPayload bounds a message, in bytes.
const MaxPayload = 8 << 10

// Type tells the reader of a message what it is.
type Type uint8

// Types of messages.
const (
	Announce Type = 1 // records of the directory
	Ring     Type = 2 // a message of the ring
	Site     Type = 3 // where the sender stands
	Move     Type = 4 // whether a claim of a container may move
	Resync   Type = 5 // asks the receiver to announce all its records again
	Clock    Type = 6 // what the sender's clock shows, or a question for that
)

// Message is what one end sends and the other receives.
type Message struct {
	Type    Type
	Payload []byte
}

// ErrFrame is the reason for which Receive refuses a frame.
var ErrFrame = errors.New("malformed control frame")

// Kinds of frames. Others are skipped: they are for later versions.
const (
	kindMessage = 1
	kindAck     = 2
)

// Every frame begins with its kind and with what its sender has received:
//
//	0   1  kind
//	1   8  next: all messages below this number have arrived
//	9   8  bitmap: bit i is message next+1+i
//
// A message continues with number, transmission, type and payload; an
// acknowledgement with the number and transmission that caused it, which gives the
// other end an exact round-trip time. Numbers are big-endian.
const (
	ackSize    = 1 + 8 + 8
	headerSize = ackSize + 8 + 1 + 1
	echoSize   = ackSize + 8 + 1
)

type frame struct {
	kind   byte
	next   uint64
	bitmap uint64
	number uint64
	try    uint8
	typ    Type
	body   []byte // refers to the input
}

func (f frame) append(b []byte) []byte {
	b = append(b, f.kind)
	b = binary.BigEndian.AppendUint64(b, f.next)
	b = binary.BigEndian.AppendUint64(b, f.bitmap)
	b = binary.BigEndian.AppendUint64(b, f.number)
	b = append(b, f.try)
	if f.kind == kindMessage {
		b = append(b, byte(f.typ))
		b = append(b, f.body...)
	}
	return b
}

// parse reads a frame; ok is false for one of a kind that is not known.
func parse(b []byte) (f frame, ok bool, err error) {
	if len(b) == 0 {
		return frame{}, false, fmt.Errorf("%w: empty", ErrFrame)
	}
	f.kind = b[0]
	switch {
	case f.kind != kindMessage && f.kind != kindAck:
		return frame{}, false, nil
	case f.kind == kindAck && len(b) != echoSize,
		f.kind == kindMessage && (len(b) < headerSize || len(b) > headerSize+MaxPayload):
		return frame{}, false, fmt.Errorf("%w: kind %d of %d bytes", ErrFrame, f.kind, len(b))
	}
	f.next = binary.BigEndian.Uint64(b[1:])
	f.bitmap = binary.BigEndian.Uint64(b[9:])
	f.number = binary.BigEndian.Uint64(b[ackSize:])
	f.try = b[ackSize+8]
	if f.kind == kindMessage {
		f.typ = Type(b[ackSize+9])
		f.body = b[headerSize:]
	}
	return f, true, nil
}
