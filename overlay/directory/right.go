package directory

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"evio/overlay/nodeid"
)

// ErrNobodys refuses what nobody can have: the network and the broadcast address of a
// subnet, the anycast address of its routers, and gateways.
var ErrNobodys = errors.New("it is kept for the network itself or for a gateway: use another address")

// maxGateways bounds the gateways of one node that count.
const maxGateways = 16

// special reports whether an address is nobody's by its place in the subnet.
func (d *Directory) special(addr netip.Addr) bool {
	for _, s := range d.subnets {
		if !s.Contains(addr) || s.Bits() >= addr.BitLen()-1 {
			continue
		}
		if addr == s.Addr() || addr.Is4() && addr == last(s) {
			return true
		}
	}
	return false
}

// last returns the last address of a prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	addr, _ := netip.AddrFromSlice(b)
	return addr
}

// inside reports whether a key belongs to the network: a range is a part of a subnet, and
// not a whole one, which says nothing of where Docker hands out addresses.
func (d *Directory) inside(k Key) bool {
	if len(d.subnets) == 0 || k.isMAC() {
		return true
	}
	return slices.ContainsFunc(d.subnets, func(p netip.Prefix) bool {
		return p.Contains(k.Addr) && (k.Bits == 0 || int(k.Bits) > p.Bits())
	})
}

// entitled reports whether a claim counts at all, whoever else claims the key.
func (d *Directory) entitled(k Key, c Claim) bool {
	switch {
	case !c.live():
		return false
	case k.isMAC():
		return true
	}
	owner, reserved := d.reservedTo(k)
	if k.Bits > 0 {
		return !reserved || owner == c.Owner
	}
	if reserved && owner != c.Owner || !reserved && d.gatewayOfAnother(k.Addr, c.Owner) {
		return false
	}
	m := d.keys[Key{MAC: c.MAC}]
	return m != nil && m.holder == c.Owner
}

// reservedTo returns the node to which the operator has bound a key: of a range its first
// and its last address, or one of them.
func (d *Directory) reservedTo(k Key) (nodeid.ID, bool) {
	if d.reserved == nil || k.isMAC() {
		return nodeid.ID{}, false
	}
	owner, ok := d.reserved(k.Addr)
	if !ok && k.Bits > 0 {
		return d.reserved(last(k.prefix()))
	}
	return owner, ok
}

// gatewayOfAnother reports whether an address is the gateway of others and not of the node.
func (d *Directory) gatewayOfAnother(addr netip.Addr, id nodeid.ID) bool {
	tellers := d.gateways[addr]
	return len(tellers) > 0 && !slices.Contains(tellers, id)
}

// SetGateways says which gateways a node's site, which may be ours, has. They are nobody's,
// except for the node itself. What another node's Docker has handed out, or hands out by its
// range, stays that node's, but where the gateway is.
func (d *Directory) SetGateways(id nodeid.ID, gateways []netip.Addr, now time.Time) Update {
	var u Update
	var changed []Key
	for addr, tellers := range d.gateways {
		if i := slices.Index(tellers, id); i >= 0 && !slices.Contains(gateways, addr) {
			if d.gateways[addr] = slices.Delete(tellers, i, i+1); len(tellers) == 1 {
				delete(d.gateways, addr)
			}
			changed = append(changed, Key{Addr: addr})
		}
	}
	for _, addr := range gateways[:min(len(gateways), maxGateways)] {
		addr = addr.Unmap()
		if k := (Key{Addr: addr}); !slices.Contains(d.gateways[addr], id) && (id == d.self || !d.spoken(k, id)) {
			d.gateways[addr] = append(d.gateways[addr], id)
			changed = append(changed, k)
		}
	}
	slices.SortFunc(changed, Key.compare)
	for _, k := range changed {
		d.resolve(k, now, &u)
	}
	return u
}

// spoken reports whether an address is another node's by what Docker handed out there.
func (d *Directory) spoken(k Key, id nodeid.ID) bool {
	if r := d.rangeHolder(k.Addr); !r.IsZero() && r != id {
		return true
	}
	p := d.keys[k]
	if p == nil || p.holder.IsZero() || p.holder == id {
		return false
	}
	c := p.of(p.holder)
	return c != nil && !c.Taken
}

// dropGateways forgets the gateways in a range that others than its holder and we have
// announced: whether they were announced before the range makes no difference.
func (d *Directory) dropGateways(r netip.Prefix, holder nodeid.ID) (dropped []Key) {
	for addr, tellers := range d.gateways {
		if !r.Contains(addr) {
			continue
		}
		stay := slices.DeleteFunc(slices.Clone(tellers), func(id nodeid.ID) bool { return id != holder && id != d.self })
		if len(stay) == len(tellers) {
			continue
		}
		if d.gateways[addr] = stay; len(stay) == 0 {
			delete(d.gateways, addr)
		}
		dropped = append(dropped, Key{Addr: addr})
	}
	return dropped
}

// rangeHolder returns the node in whose range an address lies, the zero ID for none.
func (d *Directory) rangeHolder(addr netip.Addr) nodeid.ID {
	for k := range d.ranges {
		if p := d.keys[k]; p != nil && !p.holder.IsZero() && k.prefix().Contains(addr) {
			return p.holder
		}
	}
	return nodeid.ID{}
}

// byRange reports whether a claim is of what Docker handed out at the node that holds the
// range, which comes before all others.
func (d *Directory) byRange(k Key, c Claim) bool {
	return k.isAddr() && !c.Taken && d.rangeHolder(k.Addr) == c.Owner
}

// rivals returns the claims that stand against one of an owner's: those of others of its
// key, and of ranges that overlap it.
func (d *Directory) rivals(k Key, p *keyState, owner nodeid.ID) []*claimed {
	var all []*claimed
	collect := func(k Key, p *keyState) {
		for i := range p.claims {
			if c := &p.claims[i]; c.Owner != owner && d.entitled(k, c.Claim) {
				all = append(all, c)
			}
		}
	}
	collect(k, p)
	for _, o := range d.overlapping(k) {
		if q := d.keys[o]; q != nil {
			collect(o, q)
		}
	}
	return all
}

// overlapping returns the other ranges with addresses in common with a range, in order.
func (d *Directory) overlapping(k Key) []Key {
	if k.Bits == 0 {
		return nil
	}
	var keys []Key
	for o := range d.ranges {
		if o != k && o.prefix().Overlaps(k.prefix()) {
			keys = append(keys, o)
		}
	}
	slices.SortFunc(keys, Key.compare)
	return keys
}
