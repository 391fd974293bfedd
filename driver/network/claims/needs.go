package claims

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"evio/datapath/packet"
	"evio/driver/network/admission"
)

// needs returns what a container has to hold to send a frame, MAC addresses first, or
// why it never may.
func (m *Machine) needs(b *container, frame []byte) ([]Claim, Cause) {
	if len(frame) < packet.HeaderLen {
		return nil, Outside
	}
	src := packet.Source(frame)
	var list []Claim
	if src != b.mac {
		list = append(list, Claim{MAC: src})
	}
	c, ok := says(frame)
	if !ok {
		return nil, Outside
	}
	claimed := m.rules.Mode != admission.Open || c.LinkLocal()
	if made, of := madeOf(c.Addr); of && c.LinkLocal() && made == b.mac {
		claimed = false
	}
	if c.Addr.IsValid() && claimed && !slices.Contains(b.given, c.Addr) {
		// Who an IP packet is from says nothing of the MAC address behind that.
		if mine := b.claims[c.Key()]; mine != nil && mine.granted && !binds(frame) {
			c.MAC = mine.MAC
		}
		list = append(list, c)
	}
	for _, c := range list {
		if cause := m.allowed(b, c); cause != 0 {
			return nil, cause
		}
	}
	return list, 0
}

// says returns the address that a frame speaks for, none for other frames; not ok if it
// speaks for another station's MAC address.
func says(frame []byte) (Claim, bool) {
	src := packet.Source(frame)
	c, ok := packet.Claims(frame)
	if !ok {
		c, ok = packet.Probe(frame)
	}
	if ok {
		return Claim{Addr: c.Addr, MAC: c.MAC}, c.MAC == src
	}
	switch packet.EtherType(frame) {
	case packet.TypeARP:
		return Claim{}, false
	case packet.TypeIPv4:
		if len(frame) < packet.HeaderLen+20 {
			return Claim{}, false
		}
		return source(netip.AddrFrom4([4]byte(frame[packet.HeaderLen+12:packet.HeaderLen+16])), src), true
	case packet.TypeIPv6:
		if len(frame) < packet.HeaderLen+40 {
			return Claim{}, false
		}
		return source(netip.AddrFrom16([16]byte(frame[packet.HeaderLen+8:packet.HeaderLen+24])), src), true
	}
	return Claim{}, true
}

func source(addr netip.Addr, mac MAC) Claim {
	if addr.IsUnspecified() {
		return Claim{}
	}
	return Claim{Addr: addr, MAC: mac}
}

// binds reports whether a frame says to others which MAC address an address is behind.
func binds(frame []byte) bool {
	_, tells := packet.Claims(frame)
	_, probes := packet.Probe(frame)
	return tells || probes
}

// allowed returns why a container may not claim something, zero if it may.
func (m *Machine) allowed(b *container, c Claim) Cause {
	if !c.Addr.IsValid() {
		if !packet.IsUnicast(c.MAC) || c.MAC == Asker || m.rules.Mode == admission.Claim && !isVRRP(c.MAC) || m.rules.Mode == admission.Strict {
			return Outside
		}
		return 0
	}
	a := c.Addr
	switch {
	case a.IsLinkLocalUnicast():
		if made, ok := madeOf(a); ok && made != b.mac && made != c.MAC {
			return Outside
		}
		return 0
	case m.rules.Mode != admission.Claim:
		return Outside
	case a.IsMulticast() || a.IsUnspecified() || a.IsLoopback() || a.Is4In6() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return Outside
	case len(m.rules.Subnets) > 0 && !slices.ContainsFunc(m.rules.Subnets, func(p netip.Prefix) bool { return p.Contains(a) }):
		return Outside
	}
	return 0
}

// room reports whether a container may claim one more.
func (m *Machine) room(b *container, c Claim) bool {
	most := MaxMACs
	switch {
	case c.Addr.IsValid():
		most = MaxAddrs
	case m.rules.Mode == admission.Open:
		most = MaxOpenMACs
	}
	n := 0
	for k, have := range b.claims {
		if (have.granted || have.taking) && k != c.Key() && k.Addr.IsValid() == c.Addr.IsValid() {
			n++
		}
	}
	return n < most
}

// isVRRP reports whether a MAC address is a virtual router's (RFC 9568 section 7.3).
func isVRRP(mac MAC) bool {
	return mac[0] == 0 && mac[1] == 0 && mac[2] == 0x5e && mac[3] == 0 && (mac[4] == 1 || mac[4] == 2)
}

// madeOf returns the MAC address that an interface identifier was made of (RFC 4291
// appendix A), if it has that form.
func madeOf(addr netip.Addr) (MAC, bool) {
	if !addr.Is6() {
		return MAC{}, false
	}
	x := addr.As16()
	const universal = 0x02
	return MAC{x[8] ^ universal, x[9], x[10], x[13], x[14], x[15]}, x[11] == 0xff && x[12] == 0xfe
}

const protoVRRP = 112

var (
	vrrpGroup4 = netip.AddrFrom4([4]byte{224, 0, 0, 18})
	vrrpGroup6 = netip.AddrFrom16([16]byte{0xff, 0x02, 15: 0x12})
)

// isAdvert reports whether a frame is a router's advertisement of VRRP.
func isAdvert(frame []byte) bool {
	const ip = packet.HeaderLen
	switch {
	case len(frame) >= ip+20 && packet.EtherType(frame) == packet.TypeIPv4:
		return frame[ip+9] == protoVRRP && binary.BigEndian.Uint16(frame[ip+6:])&0x1fff == 0 &&
			netip.AddrFrom4([4]byte(frame[ip+16:ip+20])) == vrrpGroup4
	case len(frame) >= ip+40 && packet.EtherType(frame) == packet.TypeIPv6:
		return frame[ip+6] == protoVRRP && netip.AddrFrom16([16]byte(frame[ip+24:ip+40])) == vrrpGroup6
	}
	return false
}
