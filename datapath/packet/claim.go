package packet

import "net/netip"

// Claim is an address binding that a frame tells its receivers: they will send
// what is for Addr to MAC. Who lets a frame through must know that its origin owns
// both.
type Claim struct {
	Addr netip.Addr
	MAC  MAC
}

// Claims returns the binding that an ARP message or a neighbour message carries;
// none for probes, other frames and malformed ones. An advertisement without a
// link-layer option, and a solicitation without one, bind to the Ethernet source.
func Claims(frame []byte) (Claim, bool) {
	if a, ok := ParseARP(frame); ok {
		if a.Sender.IsUnspecified() {
			return Claim{}, false
		}
		return Claim{Addr: a.Sender, MAC: a.SenderMAC}, true
	}
	n, ok := ParseNeighbour(frame)
	if !ok {
		return Claim{}, false
	}
	c := Claim{Addr: n.Source, MAC: Source(frame)}
	if n.Advertisement {
		c.Addr = n.Target
	}
	if n.HasLinkLayer {
		c.MAC = n.LinkLayer
	}
	return c, !c.Addr.IsUnspecified()
}

// Probe returns the address that a frame asks for on behalf of a station that has none
// yet: an ARP probe (RFC 5227), or a duplicate address detection (RFC 4862), which
// speaks for its Ethernet source. Whoever is about to take the same address gives it up
// (RFC 5227 section 2.1.1, RFC 4862 section 5.4.3), so it is as good as a claim. No
// frame is both.
func Probe(frame []byte) (Claim, bool) {
	if a, ok := ParseARP(frame); ok {
		return Claim{Addr: a.Target, MAC: a.SenderMAC}, a.Sender.IsUnspecified() && !a.Target.IsUnspecified()
	}
	n, ok := ParseNeighbour(frame)
	if !ok || n.Advertisement || !n.Source.IsUnspecified() {
		return Claim{}, false
	}
	return Claim{Addr: n.Target, MAC: Source(frame)}, true
}
