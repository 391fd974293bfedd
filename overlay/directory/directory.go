package directory

import (
	"crypto/ed25519"
	"net/netip"
	"slices"
	"time"

	"evio/overlay/nodeid"
)

const (
	// grace is how long an owner may be out of reach before another may take its keys.
	grace = 3 * time.Second
	// settling is how long after the beginning of a session, or after a claim of
	// ours, we may hear of a claim that its owner made without knowledge of ours.
	settling = time.Minute
	// refreshAge is the age at which a claim of ours is signed again, less up to a tenth.
	refreshAge = 10 * time.Minute
	// sweepPause is how often ages are looked at.
	sweepPause = 10 * time.Second
	// maxWithdrawn bounds the withdrawn claims remembered of each node, beyond which
	// the oldest are forgotten.
	maxWithdrawn = 1024
)

// Config describes the network.
type Config struct {
	// Subnets bound the addresses that can be claimed; none: any unicast address.
	Subnets []netip.Prefix
}

// Stats counts since the Directory was made.
type Stats struct {
	Applied, Repeated, Stale, Invalid uint64 // records of others
	Conflicts                         uint64 // records that claim what another node holds
	Refused                           uint64 // of those, against a claim of ours without ground
	Lost, Reclaimed                   uint64 // claims of ours
	Expired                           uint64 // claims that were not renewed
}

// Directory is one node's view. Use New.
type Directory struct {
	self    nodeid.ID
	priv    ed25519.PrivateKey
	overlay string
	subnets []netip.Prefix

	places map[Key]*place
	nodes  map[nodeid.ID]*node // others of which something is known
	wants  map[Key]*want       // what we claim, or would if another did not hold it

	sequence uint64 // last used
	floor    uint64 // below all of this life
	sweepAt  time.Time
	stats    Stats
}

// place is what is known of a key: the newest claim of each owner.
type place struct {
	claims []claimed
	holder nodeid.ID // zero: nobody
	told   Entry     // as last reported in a Change
}

// claimed is a claim as it is kept; of our own with its record.
type claimed struct {
	Claim
	record []byte
}

// node is what is known of another node.
type node struct {
	reachable bool
	since     time.Time // begin of this state
	session   time.Time // begin of the last session
	waiting   bool      // grace has not passed, or was not looked at
	floor     uint64    // claims with a lower sequence number are void
	live      int       // claims, not withdrawn
	withdrawn int
}

// want is a key that is ours to claim.
type want struct {
	mac      MAC
	explicit bool      // a MAC address claimed for itself, not only for an address
	lost     bool      // another node holds it, or the MAC address that answers for it
	since    time.Time // of the loss
	claimed  time.Time
	signed   time.Time     // by the wall clock, as others see it
	refresh  time.Duration // age at which it is signed again
}

// New returns the empty directory of a node.
func New(self nodeid.ID, priv ed25519.PrivateKey, overlay string, cfg Config) *Directory {
	return &Directory{
		self: self, priv: priv, overlay: overlay,
		subnets: slices.Clone(cfg.Subnets),
		places:  make(map[Key]*place),
		nodes:   make(map[nodeid.ID]*node),
		wants:   make(map[Key]*want),
	}
}

// Lookup returns who answers for an address.
func (d *Directory) Lookup(addr netip.Addr) (Entry, bool) {
	e, ok := d.entry(Key{Addr: addr.Unmap()})
	if !ok {
		return Entry{}, false
	}
	if m, ok := d.entry(Key{MAC: e.MAC}); !ok || m.Node != e.Node {
		return Entry{}, false
	}
	return e, true
}

// LookupMAC returns the node behind which a MAC address is.
func (d *Directory) LookupMAC(mac MAC) (Entry, bool) { return d.entry(Key{MAC: mac}) }

// MACsOf returns the MAC addresses behind a node, in order.
func (d *Directory) MACsOf(id nodeid.ID) []MAC {
	var macs []MAC
	for k, p := range d.places {
		if !k.Addr.IsValid() && p.holder == id && !id.IsZero() {
			macs = append(macs, k.MAC)
		}
	}
	slices.SortFunc(macs, func(a, b MAC) int { return slices.Compare(a[:], b[:]) })
	return macs
}

// Entries returns every key that somebody holds: MAC addresses, then addresses.
func (d *Directory) Entries() []Entry {
	keys := make([]Key, 0, len(d.places))
	for k, p := range d.places {
		if !p.holder.IsZero() {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, Key.compare)
	entries := make([]Entry, len(keys))
	for i, k := range keys {
		entries[i], _ = d.entry(k)
	}
	return entries
}

// Stats returns the counters.
func (d *Directory) Stats() Stats { return d.stats }

// NextTick returns the next time at which Tick is needed, zero for none.
func (d *Directory) NextTick() time.Time {
	var next time.Time
	if len(d.places) > 0 {
		next = d.sweepAt
	}
	for _, n := range d.nodes {
		if at := n.since.Add(grace); n.waiting && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

// inside reports whether an address belongs to the network.
func (d *Directory) inside(addr netip.Addr) bool {
	return len(d.subnets) == 0 || !addr.IsValid() ||
		slices.ContainsFunc(d.subnets, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// entry returns what the holder of a key claims.
func (d *Directory) entry(k Key) (Entry, bool) {
	p := d.places[k]
	if p == nil || p.holder.IsZero() {
		return Entry{}, false
	}
	var e Entry
	live := 0
	for _, c := range p.claims {
		if c.Withdrawn {
			continue
		}
		live++
		if c.Owner == p.holder {
			e = Entry{Addr: c.Addr, MAC: c.MAC, Node: c.Owner, Generation: c.Generation, Expiry: c.Expiry}
		}
	}
	e.Contested = live > 1
	return e, true
}

// place returns the place of a key and makes it if needed.
func (d *Directory) place(k Key, now time.Time) *place {
	p := d.places[k]
	if p == nil {
		if len(d.places) == 0 {
			d.sweepAt = now.Add(sweepPause)
		}
		p = &place{}
		d.places[k] = p
	}
	return p
}

// of returns the claim of an owner, nil for none.
func (p *place) of(id nodeid.ID) *claimed {
	if p == nil {
		return nil
	}
	for i := range p.claims {
		if p.claims[i].Owner == id {
			return &p.claims[i]
		}
	}
	return nil
}
