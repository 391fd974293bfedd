package symphony

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Answer is what one end says to what the other wants.
type Answer uint8

// The answers.
const (
	NoAnswer Answer = iota // nothing is wanted, or nothing has arrived yet
	Accept
	Refuse
)

// Message is one end's view of its pair with the receiver. Request, accept, refuse
// and close are its values: Want set, Answer Accept or Refuse, Want None.
type Message struct {
	// Start names the sender's memory of the pair; it is drawn when that memory
	// begins and is never 0. Another Start than before: what was known is void.
	Start uint32
	// Seq grows when Want, Answer or View changes. An older one than known is ignored.
	Seq uint32
	// Want is None, Successor or LongDistance.
	Want EdgeType
	// Answer is to what the receiver wanted in its view number Ack.
	Answer Answer
	// Echo is the receiver's Start as the sender knows it, 0 for none yet; Ack is the
	// highest Seq seen under it.
	Echo, Ack uint32
	// View stands for the set of nodes that the sender can reach, itself included.
	View uint64
	// Reply asks for the receiver's view: the sender's own is not acknowledged yet.
	Reply bool
}

// MessageLen is the length of an encoded message:
//
//	0  version (1)   1  flags: 1 reply   2  want   3  answer
//	4  start         8  seq              12 echo   16 ack
//	20 view (8 bytes; all numbers are big-endian)
const MessageLen = 28

const (
	messageVersion = 1
	flagReply      = 1
)

// ErrMessage is the error of a message that cannot be decoded.
var ErrMessage = errors.New("malformed ring message")

// AppendMessage appends the encoded message to dst.
func AppendMessage(dst []byte, m Message) []byte {
	var flags byte
	if m.Reply {
		flags |= flagReply
	}
	dst = append(dst, messageVersion, flags, byte(m.Want), byte(m.Answer))
	dst = binary.BigEndian.AppendUint32(dst, m.Start)
	dst = binary.BigEndian.AppendUint32(dst, m.Seq)
	dst = binary.BigEndian.AppendUint32(dst, m.Echo)
	dst = binary.BigEndian.AppendUint32(dst, m.Ack)
	return binary.BigEndian.AppendUint64(dst, m.View)
}

// ParseMessage decodes a message. Flags it does not know and bytes behind the
// message are skipped: later versions may add some.
func ParseMessage(b []byte) (Message, error) {
	if len(b) < MessageLen {
		return Message{}, fmt.Errorf("%w: %d bytes, want %d", ErrMessage, len(b), MessageLen)
	}
	if b[0] != messageVersion {
		return Message{}, fmt.Errorf("%w: version %d, want %d", ErrMessage, b[0], messageVersion)
	}
	m := Message{
		Start:  binary.BigEndian.Uint32(b[4:]),
		Seq:    binary.BigEndian.Uint32(b[8:]),
		Want:   EdgeType(b[2]),
		Answer: Answer(b[3]),
		Echo:   binary.BigEndian.Uint32(b[12:]),
		Ack:    binary.BigEndian.Uint32(b[16:]),
		View:   binary.BigEndian.Uint64(b[20:]),
		Reply:  b[1]&flagReply != 0,
	}
	if m.Want > LongDistance || m.Answer > Refuse || m.Start == 0 {
		return Message{}, fmt.Errorf("%w: want %d, answer %d, start %d", ErrMessage, m.Want, m.Answer, m.Start)
	}
	return m, nil
}
