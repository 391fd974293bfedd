// Package frame is the unit that the datapath moves: an Ethernet frame as the kernel hands
// it over, which may be a super-frame of up to 64 KiB with its checksum unfinished.
//
// A sender cuts a super-frame into the segments that the kernel would make of it, so each
// travels in a record of its own and is of use without the others. Their checksums stay
// unfinished. A receiver may merge consecutive segments into a super-frame again before it
// hands them to the kernel. That saves system calls and changes nothing else.
//
// The package is pure: no I/O, no clock, no goroutine.
package frame

// Kind is a kind of segmentation.
type Kind uint8

// Kinds of segmentation. The first is none: the frame is what will be on the wire.
const (
	Single Kind = iota
	TCP4        // TCP over IPv4
	TCP6        // TCP over IPv6
	UDP         // datagrams of equal size over either (UDP_SEGMENT)
)

// Frame is an Ethernet frame with what the kernel says of it. Data belongs to whoever made
// the frame.
type Frame struct {
	Data []byte // from the Ethernet header on

	// Partial says that a checksum is unfinished: the 16 bits at Start+Offset hold the sum
	// of what the checksum covers beyond Data[Start:], which is the pseudo header of TCP or
	// UDP. Start need not be the frame's own transport header: a container may run a tunnel,
	// whose inner checksum may be left unfinished as well.
	Partial       bool
	Start, Offset uint16

	// Kind and Segment describe a super-frame: each segment but the last has Segment bytes
	// of payload. A super-frame is always Partial. Segment is 0 for a Single frame.
	Kind    Kind
	Segment uint16
}

// Segments returns how many frames a frame is on a wire: 1 unless it is a super-frame.
func (f *Frame) Segments() int {
	if f.Kind == Single || f.Segment == 0 {
		return 1
	}
	head := udpLen
	if f.Kind != UDP {
		at := int(f.Start) + tcpLength
		if at >= len(f.Data) {
			return 1
		}
		head = int(f.Data[at]>>4) * 4
	}
	payload := len(f.Data) - int(f.Start) - head
	return max(1, (payload+int(f.Segment)-1)/int(f.Segment))
}
