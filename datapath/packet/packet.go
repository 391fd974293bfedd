// Package packet reads and writes the few kinds of frames that the data plane
// itself must understand: Ethernet headers, ARP (RFC 826, RFC 5227) and the
// neighbour messages of IPv6 (RFC 4861).
//
// It is no general decoder. A view looks at bytes where they lie, allocates
// nothing and keeps nothing; whatever is short, malformed or not expected is
// reported as "not one of these", never as a panic. Writers append to a slice of
// the caller and are right down to the checksum.
//
// Everything here is a pure function and may be called at once from any goroutine.
package packet

import "encoding/binary"

// MAC is an Ethernet hardware address.
type MAC = [6]byte

// HeaderLen is the length of an untagged Ethernet header.
const HeaderLen = 14

// EtherTypes that the data plane knows.
const (
	TypeIPv4 uint16 = 0x0800
	TypeARP  uint16 = 0x0806
	TypeVLAN uint16 = 0x8100
	TypeIPv6 uint16 = 0x86dd
	// TypeServiceVLAN is the type of a provider's tag (IEEE 802.1ad).
	TypeServiceVLAN uint16 = 0x88a8
)

// Broadcast is the Ethernet broadcast address.
var Broadcast = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// Valid reports whether frame has a whole Ethernet header. The views below must
// only be given such frames.
func Valid(frame []byte) bool { return len(frame) >= HeaderLen }

// Destination returns the destination address of a valid frame.
func Destination(frame []byte) MAC { return MAC(frame[0:6]) }

// Source returns the source address of a valid frame.
func Source(frame []byte) MAC { return MAC(frame[6:12]) }

// EtherType returns the type field of a valid frame; that of the first tag if the
// frame is tagged, a length below 1536 if it is an LLC frame.
func EtherType(frame []byte) uint16 { return binary.BigEndian.Uint16(frame[12:14]) }

// IsMulticast reports whether mac is a group address; broadcast is one.
func IsMulticast(mac MAC) bool { return mac[0]&1 != 0 }

// IsUnicast reports whether mac can belong to one station: it is no group address
// and not zero.
func IsUnicast(mac MAC) bool { return mac[0]&1 == 0 && mac != MAC{} }

// payload returns what follows the header of a frame with the wanted type.
func payload(frame []byte, etherType uint16) ([]byte, bool) {
	if !Valid(frame) || EtherType(frame) != etherType {
		return nil, false
	}
	return frame[HeaderLen:], true
}

// appendHeader appends an Ethernet header.
func appendHeader(dst []byte, to, from MAC, etherType uint16) []byte {
	dst = append(dst, to[:]...)
	dst = append(dst, from[:]...)
	return binary.BigEndian.AppendUint16(dst, etherType)
}
