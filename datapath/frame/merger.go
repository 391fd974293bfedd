package frame

import (
	"bytes"
	"encoding/binary"
)

const (
	// maxPacket is the length of the longest IP packet that is merged, headers included.
	maxPacket = 65535
	// maxDatagrams is how many datagrams of UDP become one super-frame at most, as in the
	// kernel (UDP_GRO_CNT_MAX).
	maxDatagrams = 64
)

// Kinds are the kinds of super-frames that a consumer takes.
type Kinds struct{ TCP4, TCP6, UDP bool }

// has reports whether k is one of them.
func (s Kinds) has(k Kind) bool {
	return k == TCP4 && s.TCP4 || k == TCP6 && s.TCP6 || k == UDP && s.UDP
}

// Merger makes super-frames of consecutive segments, as the kernel does when it receives (GRO).
// It holds one run of frames that belong together. It does so by content, and only if cutting
// what comes out would give back what came in, to the byte.
//
// It merges in place: payload is copied to the end of the run's first frame, within the capacity
// of its Data. So the frames of one piece of memory must be added in the order in which they lie
// there, and nothing that still matters may lie between a run and a frame that is added to it.
// Nothing behind the frame that is added changes. The zero value is ready and takes no kind. It
// is for one goroutine.
type Merger struct {
	// Kinds are what the run's consumer takes. They count when a run begins.
	Kinds Kinds

	run    Frame
	header header
	count  int // frames in run

	// What the next frame of the run must have:
	open bool   // false: there is no next one
	seq  uint32 // of TCP
	id   uint16 // of IPv4

	segment int  // payload of each frame but the last
	last    byte // flags of the last frame
}

// Add takes f into the run, or begins one with it if there is none. It returns false, and leaves
// f as it is, if f does not belong to the run: then Flush and Add again.
func (m *Merger) Add(f Frame) bool {
	if m.count == 0 {
		m.begin(f)
		return true
	}
	if !m.open || !m.continues(&f) {
		return false
	}
	m.append(f.Data)
	return true
}

// Flush ends the run and returns it, false if there is none. A run of one frame is that frame,
// unchanged.
func (m *Merger) Flush() (Frame, bool) {
	f := m.run
	if m.count > 1 {
		m.header.put(f.Data, m.header.ipv4IDOf(f.Data))
		if !m.header.UDP {
			f.Data[m.header.L4+tcpFlags] |= m.last & (flagFIN | flagPSH)
		}
		f.Kind, f.Segment = m.header.kind(), uint16(m.segment)
	}
	some := m.count > 0
	*m = Merger{Kinds: m.Kinds}
	return f, some
}

// begin makes f the first frame of a run, and decides whether another may follow.
func (m *Merger) begin(f Frame) {
	m.run, m.count, m.open = f, 1, false
	if !f.Partial || f.Kind != Single {
		return
	}
	l, ok := Parse(f.Data)
	if !ok || !Own(&f, l) || !m.Kinds.has(l.kind()) {
		return
	}
	m.header = headerOf(f.Data, l)
	m.segment = len(f.Data) - l.Payload
	m.id = m.header.ipv4IDOf(f.Data)
	if !m.exact(f.Data) {
		return
	}
	if !l.UDP {
		m.last = f.Data[l.L4+tcpFlags]
		if m.last&(flagSYN|flagRST|flagURG) != 0 {
			return
		}
		m.seq = binary.BigEndian.Uint32(f.Data[l.L4+tcpSeq:])
	}
	m.advance(m.segment)
}

// advance counts n bytes of payload at the run's end, and decides whether more may follow.
func (m *Merger) advance(n int) {
	m.seq += uint32(n)
	m.id++
	m.open = n == m.segment && m.last&(flagFIN|flagPSH) == 0
}

// exact reports whether the IPv4 ID and the checksums of a frame are those that a segment of its
// length would get.
func (m *Merger) exact(data []byte) bool {
	h := &m.header
	if !h.V6 {
		ip := data[h.L3:]
		if binary.BigEndian.Uint16(ip[ipv4ID:]) != m.id ||
			binary.BigEndian.Uint16(ip[ipv4Check:]) != h.ipv4Checksum(len(data), m.id) {
			return false
		}
	}
	return binary.BigEndian.Uint16(data[h.L4+h.offset():]) == h.unfinished(len(data))
}

// continues reports whether f is the next frame of the run.
func (m *Merger) continues(f *Frame) bool {
	h := &m.header
	n := len(f.Data) - h.Payload
	end := len(m.run.Data) + n
	if n < 1 || n > m.segment || end > cap(m.run.Data) || end-h.L3 > maxPacket {
		return false
	}
	if !f.Partial || f.Kind != Single || f.Start != m.run.Start || f.Offset != m.run.Offset {
		return false
	}
	return m.sameIP(f.Data) && m.sameL4(f.Data) && m.exact(f.Data)
}

// sameIP reports whether the headers of data up to IP are those of the run, and its length right.
func (m *Merger) sameIP(data []byte) bool {
	h, first := &m.header, m.run.Data
	length, n := h.L3+ipv4Total, len(data)-h.L3
	if h.V6 {
		length, n = h.L3+ipv6Payload, n-ipv6Len
	}
	if int(binary.BigEndian.Uint16(data[length:])) != n || !bytes.Equal(data[:length], first[:length]) {
		return false
	}
	if h.V6 {
		return bytes.Equal(data[length+2:h.L4], first[length+2:h.L4])
	}
	ip, firstIP := data[h.L3:h.L4], first[h.L3:h.L4]
	return bytes.Equal(ip[ipv4Fragment:ipv4Check], firstIP[ipv4Fragment:ipv4Check]) &&
		bytes.Equal(ip[ipv4Source:], firstIP[ipv4Source:])
}

// sameL4 reports whether the header of TCP or UDP continues the run.
func (m *Merger) sameL4(data []byte) bool {
	h := &m.header
	l4, first := data[h.L4:], m.run.Data[h.L4:]
	if h.UDP {
		return m.count < maxDatagrams && bytes.Equal(l4[:udpLength], first[:udpLength]) &&
			int(binary.BigEndian.Uint16(l4[udpLength:])) == len(l4)
	}
	flags, end := l4[tcpFlags], h.Payload-h.L4
	return binary.BigEndian.Uint32(l4[tcpSeq:]) == m.seq &&
		flags&flagCWR == 0 && (flags^first[tcpFlags])&^(flagFIN|flagPSH|flagCWR) == 0 &&
		bytes.Equal(l4[:tcpSeq], first[:tcpSeq]) &&
		bytes.Equal(l4[tcpAck:tcpFlags], first[tcpAck:tcpFlags]) &&
		bytes.Equal(l4[tcpWindow:tcpOffset], first[tcpWindow:tcpOffset]) &&
		bytes.Equal(l4[tcpUrgent:end], first[tcpUrgent:end])
}

// append moves the payload of a frame to the end of the run, which may overwrite the frame.
func (m *Merger) append(data []byte) {
	if !m.header.UDP {
		m.last = data[m.header.L4+tcpFlags]
	}
	payload := data[m.header.Payload:]
	n, end := len(payload), len(m.run.Data)
	m.run.Data = m.run.Data[:end+n]
	copy(m.run.Data[end:], payload)
	m.count++
	m.advance(n)
}
