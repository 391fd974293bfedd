package network

import (
	"math"
	"net/netip"
	"sync"

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

// linkLocals says whose an IPv6 link-local address is. Nobody claims these, so the
// directory does not know them. One that is made of a MAC address (RFC 4291 appendix A)
// is that one's; any other belongs to the MAC address that used it first, for as long
// as the directory has that at the same node. No node takes the room of another. The
// zero value is ready; any goroutine may use it.
type linkLocals struct {
	mu     sync.Mutex
	known  map[netip.Addr]station
	count  map[overlay.MAC]int
	ofNode map[nodeid.ID]int
}

// station is who has an address.
type station struct {
	mac  overlay.MAC
	node nodeid.ID
}

// belongs reports whether the address may be used with a MAC address that a peer has by
// the directory.
func (l *linkLocals) belongs(t *overlay.Table, addr netip.Addr, mac overlay.MAC) bool {
	return l.take(t, addr, mac, maxNodeLinkLocals)
}

// learn remembers the address of a container here, which the peers' limit does not
// concern: the MAC addresses here are those that Docker has given.
func (l *linkLocals) learn(t *overlay.Table, addr netip.Addr, mac overlay.MAC) {
	l.take(t, addr, mac, math.MaxInt)
}

// take gives the address to the MAC address, unless another one has it or the node of
// that has as many as it may.
func (l *linkLocals) take(t *overlay.Table, addr netip.Addr, mac overlay.MAC, most int) bool {
	if made, ok := madeOf(addr); ok {
		return made == mac
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
	if l.count[mac] >= maxLinkLocals || l.ofNode[user.node] >= most {
		return false
	}
	if l.known == nil {
		l.known, l.count, l.ofNode = map[netip.Addr]station{}, map[overlay.MAC]int{}, map[nodeid.ID]int{}
	}
	l.known[addr] = user
	l.count[mac]++
	l.ofNode[user.node]++
	return true
}

// sweep forgets the addresses of who is in the directory no more.
func (l *linkLocals) sweep(t *overlay.Table) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for addr, holder := range l.known {
		if !holder.isIn(t) {
			l.forgetLocked(addr)
		}
	}
}

func (l *linkLocals) forgetLocked(addr netip.Addr) {
	holder := l.known[addr]
	delete(l.known, addr)
	less(l.count, holder.mac)
	less(l.ofNode, holder.node)
}

// less counts down, to nothing instead of zero.
func less[K comparable](counts map[K]int, k K) {
	if counts[k]--; counts[k] == 0 {
		delete(counts, k)
	}
}

func (s station) isIn(t *overlay.Table) bool {
	e, there := t.LookupMAC(s.mac)
	return there && e.Node == s.node
}

// madeOf returns the MAC address that an interface identifier was made of, if it has
// that form.
func madeOf(addr netip.Addr) (overlay.MAC, bool) {
	b := addr.As16()
	const universal = 0x02 // bit of the first octet, told inverted
	return overlay.MAC{b[8] ^ universal, b[9], b[10], b[13], b[14], b[15]}, b[11] == 0xff && b[12] == 0xfe
}

func isLinkLocal6(addr netip.Addr) bool { return addr.Is6() && addr.IsLinkLocalUnicast() }
