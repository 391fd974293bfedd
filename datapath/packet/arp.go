package packet

import (
	"encoding/binary"
	"net/netip"
)

// Operations of ARP.
const (
	arpRequest = 1
	arpReply   = 2
)

// arpLen is the length of an ARP message for Ethernet and IPv4.
const arpLen = 28

// ARP is what an ARP message for Ethernet and IPv4 says.
type ARP struct {
	Reply     bool
	SenderMAC MAC
	TargetMAC MAC
	Sender    netip.Addr
	Target    netip.Addr
}

// ParseARP reads an untagged ARP request or reply.
func ParseARP(frame []byte) (ARP, bool) {
	p, ok := payload(frame, TypeARP)
	if !ok || len(p) < arpLen {
		return ARP{}, false
	}
	if binary.BigEndian.Uint16(p) != 1 || binary.BigEndian.Uint16(p[2:]) != TypeIPv4 || p[4] != 6 || p[5] != 4 {
		return ARP{}, false
	}
	op := binary.BigEndian.Uint16(p[6:])
	if op != arpRequest && op != arpReply {
		return ARP{}, false
	}
	return ARP{
		Reply:     op == arpReply,
		SenderMAC: MAC(p[8:14]),
		Sender:    netip.AddrFrom4([4]byte(p[14:18])),
		TargetMAC: MAC(p[18:24]),
		Target:    netip.AddrFrom4([4]byte(p[24:28])),
	}, true
}

// appendARP appends a whole frame, sent to the hardware address to.
func appendARP(dst []byte, to MAC, a ARP) []byte {
	op := byte(arpRequest)
	if a.Reply {
		op = arpReply
	}
	sender, target := a.Sender.As4(), a.Target.As4()
	dst = appendHeader(dst, to, a.SenderMAC, TypeARP)
	dst = append(dst, 0, 1, 8, 0, 6, 4, 0, op)
	dst = append(dst, a.SenderMAC[:]...)
	dst = append(dst, sender[:]...)
	dst = append(dst, a.TargetMAC[:]...)
	return append(dst, target[:]...)
}
