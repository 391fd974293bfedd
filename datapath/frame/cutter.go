package frame

import "encoding/binary"

// Cutter cuts a super-frame into the segments that the kernel would make of it (tcp_gso_segment,
// __udp_gso_segment, inet_gso_segment). Each is a whole frame with a checksum of its own, which
// is unfinished at the same place as that of the super-frame.
//
// Segments differ in their lengths and checksums, the IPv4 ID, which counts up, and the sequence
// number of TCP. Only the last has FIN and PSH, only the first CWR. The zero value has nothing
// to cut. It is for one goroutine.
type Cutter struct {
	header

	data []byte // nil: nothing is left
	next int    // where the payload of the next segment begins in data
	step int    // payload of each segment but the last
	id   uint16 // of the next segment
}

// Begin takes a frame, which Parse has laid out as l, and which must not change until the last
// segment is out. No segment of TCP is longer than room, so TCP is cut smaller than the frame
// says where that is needed, even if the frame is a Single one. Datagrams of UDP are never cut:
// they have the size that their sender gave them, whatever the room. See Longest.
//
// Begin returns false, and nothing comes out, if the frame cannot be cut: its unfinished checksum
// is not its own, its Kind is another than its headers say, room is not enough for the headers
// of TCP, or it is a Single frame longer than room, of UDP or with SYN, RST or URG. A Single frame
// may be finished and go in slices instead.
func (c *Cutter) Begin(f *Frame, l Layout, room int) bool {
	*c = Cutter{}
	if !Own(f, l) {
		return false
	}
	payload := len(f.Data) - l.Payload
	step := payload
	switch {
	case f.Kind != Single:
		if f.Kind != l.kind() || f.Segment == 0 {
			return false
		}
		if step = int(f.Segment); !l.UDP {
			step = min(step, room-l.Payload)
		}
	case len(f.Data) <= room:
	case l.UDP || f.Data[l.L4+tcpFlags]&(flagSYN|flagRST|flagURG) != 0:
		return false
	default:
		step = room - l.Payload
	}
	if step < 0 || step == 0 && payload > 0 {
		return false
	}
	c.header = headerOf(f.Data, l)
	c.data, c.next, c.step, c.id = f.Data, l.Payload, step, c.ipv4IDOf(f.Data)
	return true
}

// Longest returns the length of the longest segment that is left, 0 if none is.
func (c *Cutter) Longest() int {
	if c.data == nil {
		return 0
	}
	return c.Payload + min(c.step, len(c.data)-c.next)
}

// Next writes the next segment to dst, and returns its length and whether another follows it.
// Nothing is written if there is none, or if dst is shorter than the segment; the length is
// 0 then.
func (c *Cutter) Next(dst []byte) (n int, more bool) {
	n = c.Longest()
	if n == 0 || n > len(dst) {
		return 0, n > 0
	}
	dst = dst[:n]
	end := c.next + n - c.Payload
	first, last := c.next == c.Payload, end == len(c.data)
	copy(dst, c.data[:c.Payload])
	copy(dst[c.Payload:], c.data[c.next:end])
	if !first || !last { // otherwise it is the frame itself
		c.put(dst, c.id)
		if !c.UDP {
			c.putTCP(dst[c.L4:], first, last)
		}
	}
	c.id++
	if c.next = end; last {
		c.data = nil
	}
	return n, !last
}

// putTCP writes the sequence number and the flags of the next segment.
func (c *Cutter) putTCP(tcp []byte, first, last bool) {
	seq := binary.BigEndian.Uint32(tcp[tcpSeq:])
	binary.BigEndian.PutUint32(tcp[tcpSeq:], seq+uint32(c.next-c.Payload))
	if !first {
		tcp[tcpFlags] &^= flagCWR
	}
	if !last {
		tcp[tcpFlags] &^= flagFIN | flagPSH
	}
}
