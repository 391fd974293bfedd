package admission

import (
	"math"
	"net/netip"
	"slices"
	"sync"

	"evio/datapath/filter"
	"evio/overlay"
	"evio/overlay/nodeid"
)

const (
	// maxLinkLocals is how many link-local addresses a MAC address may have that are
	// not made of it: one by privacy extensions, and some to change it.
	maxLinkLocals = 4
	// maxNodeLinkLocals bounds those of a peer, however many MAC addresses it claims.
	maxNodeLinkLocals = 256
)

// LinkLocals says whose a link-local address is, of either family. Nobody claims these, so
// the directory does not know them. One that is made of a MAC address (RFC 4291 appendix A)
// is that one's; any other belongs to the MAC address that used it first, for as long
// as the directory has that at the same node. No node takes the room of another. The
// zero value is ready; any goroutine may use it.
type LinkLocals struct {
	mu     sync.Mutex
	known  map[netip.Addr]station
	ofMAC  map[overlay.MAC][]netip.Addr
	ofNode map[nodeid.ID]int
}

// station is who has an address.
type station struct {
	mac  overlay.MAC
	node nodeid.ID
}

// Learn gives a container of this engine the address that it uses, and reports whether it
// may have it. The peers' limit does not concern it: the MAC addresses here are those that
// Docker has given, or few.
func (l *LinkLocals) Learn(t *overlay.Table, addr netip.Addr, mac overlay.MAC) bool {
	return l.take(t, addr, mac, math.MaxInt)
}

// holder says whose the address is for a MAC address of a peer. It is the peer's if nobody
// uses it.
func (l *LinkLocals) holder(t *overlay.Table, addr netip.Addr, mac overlay.MAC) filter.Holder {
	if made, ok := madeOf(addr); ok {
		if ofOneNode(t, made, mac) {
			return filter.Self
		}
		return filter.Other
	}
	e, there := t.LookupMAC(mac)
	l.mu.Lock()
	defer l.mu.Unlock()
	holder, held := l.known[addr]
	if !there || held && holder != (station{mac, e.Node}) && holder.isIn(t) {
		return filter.Other
	}
	return filter.Self
}

// take gives the address to the MAC address, unless another one has it or the node of
// that has as many as it may.
func (l *LinkLocals) take(t *overlay.Table, addr netip.Addr, mac overlay.MAC, most int) bool {
	if made, ok := madeOf(addr); ok {
		return ofOneNode(t, made, mac)
	}
	e, there := t.LookupMAC(mac)
	if !there {
		return false
	}
	user := station{mac, e.Node}
	l.mu.Lock()
	defer l.mu.Unlock()
	if holder, held := l.known[addr]; held {
		if holder == user {
			return true
		}
		if holder.isIn(t) {
			return false
		}
		l.forgetLocked(addr)
	}
	if len(l.ofMAC[mac]) >= maxLinkLocals || l.ofNode[user.node] >= most {
		return false
	}
	if l.known == nil {
		l.known, l.ofMAC, l.ofNode = map[netip.Addr]station{}, map[overlay.MAC][]netip.Addr{}, map[nodeid.ID]int{}
	}
	l.known[addr] = user
	l.ofMAC[mac] = append(l.ofMAC[mac], addr)
	l.ofNode[user.node]++
	return true
}

// ofOneNode reports whether two MAC addresses are one, or at one node: a virtual router
// has a MAC address beside that which the link-local address of its station is made of.
func ofOneNode(t *overlay.Table, made, mac overlay.MAC) bool {
	if made == mac {
		return true
	}
	a, _ := t.LookupMAC(made)
	b, known := t.LookupMAC(mac)
	return known && a.Node == b.Node
}

// Follow forgets the addresses of MAC addresses that are no longer where they were.
func (l *LinkLocals) Follow(changes []overlay.Change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range changes {
		if c.Addr.IsValid() {
			continue
		}
		for _, addr := range slices.Clone(l.ofMAC[c.MAC]) {
			if l.known[addr].node != c.After.Node {
				l.forgetLocked(addr)
			}
		}
	}
}

func (l *LinkLocals) forgetLocked(addr netip.Addr) {
	holder := l.known[addr]
	delete(l.known, addr)
	left := slices.DeleteFunc(l.ofMAC[holder.mac], func(a netip.Addr) bool { return a == addr })
	if len(left) == 0 {
		delete(l.ofMAC, holder.mac)
	} else {
		l.ofMAC[holder.mac] = left
	}
	if l.ofNode[holder.node]--; l.ofNode[holder.node] == 0 {
		delete(l.ofNode, holder.node)
	}
}

func (s station) isIn(t *overlay.Table) bool {
	e, there := t.LookupMAC(s.mac)
	return there && e.Node == s.node
}

const universal = 0x02 // bit of a MAC address's first octet, written inverted

// Made returns the link-local address that is made of a MAC address.
func Made(mac overlay.MAC) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: mac[0] ^ universal, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]})
}

// madeOf returns the MAC address that an interface identifier was made of, if it has
// that form.
func madeOf(addr netip.Addr) (overlay.MAC, bool) {
	if !addr.Is6() {
		return overlay.MAC{}, false
	}
	b := addr.As16()
	return overlay.MAC{b[8] ^ universal, b[9], b[10], b[13], b[14], b[15]}, b[11] == 0xff && b[12] == 0xfe
}
