package frame

import "encoding/binary"

// Flags of TCP. Segments of one super-frame differ in FIN, PSH and CWR only.
const (
	flagFIN = 0x01
	flagSYN = 0x02
	flagRST = 0x04
	flagPSH = 0x08
	flagURG = 0x20
	flagCWR = 0x80
)

// Offsets of fields in the headers of IPv4, IPv6, TCP and UDP.
const (
	ipv4Total    = 2
	ipv4ID       = 4
	ipv4Fragment = 6
	ipv4Check    = 10
	ipv4Source   = 12
	ipv6Payload  = 4
	tcpSeq       = 4
	tcpAck       = 8
	tcpLength    = 12
	tcpFlags     = 13
	tcpWindow    = 14
	tcpUrgent    = 18
	udpLength    = 4
)

// header is what the segments of one super-frame have in common. It knows the parts of their
// checksums that do not depend on a segment's length or IPv4 ID.
type header struct {
	Layout

	ip uint16 // sum of the IPv4 header without total length, ID and checksum
	l4 uint16 // unfinished checksum of TCP or UDP without the length
}

// headerOf returns the header of a frame with an unfinished checksum of its own. What that
// holds beside the length is kept, as the kernel does: with source routing it is not the sum
// of the addresses in the header.
func headerOf(data []byte, l Layout) header {
	h := header{Layout: l}
	if !l.V6 {
		ip := data[l.L3:l.L4]
		h.ip = fold(uint64(sum(ip[:ipv4Total])) + uint64(sum(ip[ipv4Fragment:ipv4Check])) + uint64(sum(ip[ipv4Source:])))
	}
	check := binary.BigEndian.Uint16(data[l.L4+l.offset():])
	h.l4 = fold(uint64(check) + uint64(^uint16(len(data)-l.L4)))
	return h
}

// ipv4Checksum returns the checksum of the IPv4 header of a frame of n bytes.
func (h *header) ipv4Checksum(n int, id uint16) uint16 {
	return ^fold(uint64(h.ip) + uint64(n-h.L3) + uint64(id))
}

// unfinished returns the unfinished checksum of TCP or UDP in a frame of n bytes.
func (h *header) unfinished(n int) uint16 {
	return fold(uint64(h.l4) + uint64(n-h.L4))
}

// put writes into a frame whatever depends on its length, and the IPv4 ID.
func (h *header) put(data []byte, id uint16) {
	ip, l4 := data[h.L3:], data[h.L4:]
	if h.V6 {
		binary.BigEndian.PutUint16(ip[ipv6Payload:], uint16(len(ip)-ipv6Len))
	} else {
		binary.BigEndian.PutUint16(ip[ipv4Total:], uint16(len(ip)))
		binary.BigEndian.PutUint16(ip[ipv4ID:], id)
		binary.BigEndian.PutUint16(ip[ipv4Check:], h.ipv4Checksum(len(data), id))
	}
	if h.UDP {
		binary.BigEndian.PutUint16(l4[udpLength:], uint16(len(l4)))
	}
	binary.BigEndian.PutUint16(l4[h.offset():], h.unfinished(len(data)))
}

// ipv4IDOf returns the ID of a frame's IPv4 header, 0 for IPv6.
func (h *header) ipv4IDOf(data []byte) uint16 {
	if h.V6 {
		return 0
	}
	return binary.BigEndian.Uint16(data[h.L3+ipv4ID:])
}
