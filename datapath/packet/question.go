package packet

import "net/netip"

// Query is a question for the hardware address of Target.
type Query struct {
	// Target is the address in question.
	Target netip.Addr
	// Asker is the hardware address that asks and that the answer goes to.
	Asker MAC
	// Source is the address of the asker; unspecified if DAD.
	Source netip.Addr
	// DAD marks an asker that has no address yet and wants to take Target: an ARP
	// probe (RFC 5227) or a duplicate address detection (RFC 4862). An answer
	// makes it give Target up, so it may only be given when Target belongs to
	// somebody else.
	DAD bool
}

// Question reports whether frame asks for somebody's hardware address in a way
// that may be answered on the owner's behalf: an ARP request that is no
// announcement, or a neighbour solicitation. Frames whose Ethernet source is not
// the address that asks are not questions.
func Question(frame []byte) (Query, bool) {
	if a, ok := ParseARP(frame); ok {
		return arpQuestion(frame, a)
	}
	n, ok := ParseNeighbour(frame)
	if !ok || n.Advertisement || n.Source == n.Target {
		return Query{}, false
	}
	asker := Source(frame)
	if !IsUnicast(asker) || (n.HasLinkLayer && n.LinkLayer != asker) {
		return Query{}, false
	}
	return Query{Target: n.Target, Asker: asker, Source: n.Source, DAD: n.Source.IsUnspecified()}, true
}

func arpQuestion(frame []byte, a ARP) (Query, bool) {
	if a.Reply || a.Sender == a.Target || a.Target.IsUnspecified() || a.Target.IsMulticast() {
		return Query{}, false
	}
	if a.SenderMAC != Source(frame) || !IsUnicast(a.SenderMAC) {
		return Query{}, false
	}
	return Query{Target: a.Target, Asker: a.SenderMAC, Source: a.Sender, DAD: a.Sender.IsUnspecified()}, true
}

// Answer appends the frame with which the owner of q.Target at mac would reply:
// an ARP reply, or a solicited neighbour advertisement with the override flag. To
// a DAD solicitation the advertisement goes to all nodes, unsolicited (RFC 4861
// section 7.2.4).
func Answer(dst []byte, q Query, mac MAC) []byte {
	switch {
	case q.Target.Is4():
		return appendARP(dst, q.Asker, ARP{
			Reply: true, SenderMAC: mac, Sender: q.Target, TargetMAC: q.Asker, Target: q.Source,
		})
	case q.DAD:
		return appendAdvertisement(dst, allNodesMAC, allNodes, q.Target, mac, flagOverride)
	default:
		return appendAdvertisement(dst, q.Asker, q.Source, q.Target, mac, flagSolicited|flagOverride)
	}
}

// Announce appends the frame that tells everybody that addr is at mac: an ARP
// announcement (RFC 5227 section 3) or an unsolicited neighbour advertisement
// (RFC 4861 section 7.2.6).
func Announce(dst []byte, addr netip.Addr, mac MAC) []byte {
	if addr.Is4() {
		return appendARP(dst, Broadcast, ARP{SenderMAC: mac, Sender: addr, Target: addr})
	}
	return appendAdvertisement(dst, allNodesMAC, allNodes, addr, mac, flagOverride)
}
