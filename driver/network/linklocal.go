package network

import (
	"net/netip"
	"sync"

	"evio/overlay"
)

const (
	// maxLinkLocals is how many link-local addresses a MAC address may have that are
	// not made of it: one by privacy extensions, and some to change it.
	maxLinkLocals = 4
	// maxAllLinkLocals bounds those of a network.
	maxAllLinkLocals = 4096
)

// linkLocals says whose an IPv6 link-local address is. Nobody claims these, so the
// directory does not know them. One that is made of a MAC address (RFC 4291 appendix A)
// is that one's; any other belongs to the MAC address that used it first, for as long
// as the directory has that. The zero value is ready; any goroutine may use it.
type linkLocals struct {
	mu    sync.Mutex
	known map[netip.Addr]overlay.MAC
	count map[overlay.MAC]int
}

// belongs reports whether the address may be used with a MAC address that is in the
// directory.
func (l *linkLocals) belongs(t *overlay.Table, addr netip.Addr, mac overlay.MAC) bool {
	if made, ok := madeOf(addr); ok {
		return made == mac
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	holder, held := l.known[addr]
	if held && holder != mac {
		if _, there := t.LookupMAC(holder); there {
			return false
		}
		l.forgetLocked(addr)
		held = false
	}
	if held {
		return true
	}
	if l.count[mac] >= maxLinkLocals || len(l.known) >= maxAllLinkLocals {
		return false
	}
	if l.known == nil {
		l.known, l.count = map[netip.Addr]overlay.MAC{}, map[overlay.MAC]int{}
	}
	l.known[addr] = mac
	l.count[mac]++
	return true
}

// sweep forgets the addresses of MAC addresses that the directory has no more.
func (l *linkLocals) sweep(t *overlay.Table) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for addr, mac := range l.known {
		if _, there := t.LookupMAC(mac); !there {
			l.forgetLocked(addr)
		}
	}
}

func (l *linkLocals) forgetLocked(addr netip.Addr) {
	mac := l.known[addr]
	delete(l.known, addr)
	if l.count[mac]--; l.count[mac] == 0 {
		delete(l.count, mac)
	}
}

// madeOf returns the MAC address that an interface identifier was made of, if it has
// that form.
func madeOf(addr netip.Addr) (overlay.MAC, bool) {
	b := addr.As16()
	const universal = 0x02 // bit of the first octet, told inverted
	return overlay.MAC{b[8] ^ universal, b[9], b[10], b[13], b[14], b[15]}, b[11] == 0xff && b[12] == 0xfe
}

func isLinkLocal6(addr netip.Addr) bool { return addr.Is6() && addr.IsLinkLocalUnicast() }
