package udp

// First bytes of datagrams of ours. RFC 7983 leaves 192–255 to others; the
// four from 192 are evio's.
const (
	FirstHandshake = 192
	FirstRecord    = 193
)

// Class is the protocol a datagram belongs to, by its first byte.
type Class uint8

// Classes of datagrams.
const (
	Unknown Class = iota
	STUN
	Handshake
	Record
	Classes // number of classes
)

var classNames = [Classes]string{"unknown", "stun", "handshake", "record"}

// String returns the name of the class in the status document.
func (c Class) String() string {
	if c < Classes {
		return classNames[c]
	}
	return classNames[Unknown]
}

// Classify tells what a datagram is by its first byte (RFC 7983 section 7).
func Classify(datagram []byte) Class {
	if len(datagram) == 0 {
		return Unknown
	}
	switch first := datagram[0]; {
	case first <= 3:
		return STUN
	case first == FirstHandshake:
		return Handshake
	case first == FirstRecord:
		return Record
	default:
		return Unknown
	}
}
