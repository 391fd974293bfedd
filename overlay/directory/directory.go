package directory

import (
	"crypto/ed25519"
	"net/netip"
	"slices"
	"time"

	"evio/overlay/nodeid"
	"evio/wall"
)

const (
	// refreshAge is the age at which a claim of ours is signed again, less up to a tenth.
	refreshAge = 10 * time.Minute
	// sweepPause is how often ages are looked at.
	sweepPause = 10 * time.Second
	// quarantine is how long after Docker took an address back containers may not take it.
	quarantine = 10 * time.Minute
)

// Config describes the network.
type Config struct {
	// Subnets bound the addresses that can be claimed; none: any unicast address.
	Subnets []netip.Prefix
	// Reserved says to which node the operator has bound an address; nil: none are.
	Reserved func(netip.Addr) (owner nodeid.ID, ok bool)
	// Known is what Known returned in an earlier life; without it the node is new.
	Known []byte
	// Wall is the clock that records go by; nil: this machine's.
	Wall wall.Clock
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
	self     nodeid.ID
	priv     ed25519.PrivateKey
	overlay  string
	subnets  []netip.Prefix
	reserved func(netip.Addr) (nodeid.ID, bool)
	wall     wall.Clock

	keys      map[Key]*keyState
	ranges    map[Key]struct{} // those of keys and wants that are ranges
	contested map[Key]struct{} // addresses that more than one node claims
	gateways  map[netip.Addr][]nodeid.ID

	nodes map[nodeid.ID]*node // others about which something is known
	mine  *node               // what we claim and testify
	wants map[Key]*want       // what we claim, or would if another did not hold it
	byMAC map[MAC][]Key       // addresses among these, by the MAC address that they need
	taken int                 // of these, by containers themselves
	kept  map[Key]kept        // what an earlier life held

	agenda     agenda
	recalled   Update // what is held by what an earlier life knew, until the first Tick
	recalledAt time.Time
	sequence   uint64 // last used
	floor      uint64 // below all of this life
	turn       uint64 // of wants
	sweepAt    time.Time
	stats      Stats
}

// keyState is what is known of a key: the newest claim or testimony of each node.
type keyState struct {
	claims []claimed
	holder nodeid.ID // zero: nobody
	told   Entry     // as last reported in a Change
	due    time.Time // when it is resolved again at the latest; zero: not
}

// claimed is a claim as it is kept; of our own with its record.
type claimed struct {
	Claim
	record      []byte
	until       time.Time // when it expires, whatever is done to our clock
	held        time.Time // since when we have followed it; zero: never, or that is void
	epoch       uint64    // session of its owner in which it was said last
	disputed    time.Time // since when it stands against a claim of ours
	told        bool      // its owner knew ours, then
	quarantined time.Time // until when containers may not take it
}

// want is a key that is ours to claim.
type want struct {
	mac      MAC
	taken    bool      // by a container itself
	explicit bool      // a MAC address claimed for itself, not only for an address
	lost     bool      // another node holds it, or the MAC address that answers for it
	turn     uint64    // orders wants by age
	since    time.Time // of the loss
	held     time.Time // since when it is ours
	kept     bool      // that is from an earlier life
	hold     time.Time // until when it is held down
	strikes  int
	signed   time.Time     // by the wall clock, as others see it
	refresh  time.Duration // age at which it is signed again
}

// New returns the directory of a node, which knows what cfg.Known says. The error says
// why that cannot be used; then the directory is that of a new node, and good all the same.
func New(self nodeid.ID, priv ed25519.PrivateKey, overlay string, cfg Config, now time.Time) (*Directory, error) {
	d := &Directory{
		self: self, priv: priv, overlay: overlay, reserved: cfg.Reserved, wall: cfg.Wall.Or(),
		keys: make(map[Key]*keyState), ranges: make(map[Key]struct{}), contested: make(map[Key]struct{}),
		gateways: make(map[netip.Addr][]nodeid.ID),
		nodes:    make(map[nodeid.ID]*node), mine: newNode(self),
		wants: make(map[Key]*want), byMAC: make(map[MAC][]Key), kept: make(map[Key]kept),
	}
	for _, s := range cfg.Subnets {
		d.subnets = append(d.subnets, s.Masked())
	}
	if len(cfg.Known) == 0 {
		return d, nil
	}
	return d, d.remember(cfg.Known, now)
}

// Lookup returns who answers for an address.
func (d *Directory) Lookup(addr netip.Addr) (Entry, bool) {
	return d.entry(Key{Addr: addr.Unmap()})
}

// LookupMAC returns the node behind which a MAC address is.
func (d *Directory) LookupMAC(mac MAC) (Entry, bool) { return d.entry(Key{MAC: mac}) }

// MACsOf returns the MAC addresses behind a node, in order.
func (d *Directory) MACsOf(id nodeid.ID) []MAC {
	n := d.of(id)
	if n == nil {
		return nil
	}
	var macs []MAC
	for k := range n.keys {
		if k.isMAC() && d.keys[k].holder == id {
			macs = append(macs, k.MAC)
		}
	}
	slices.SortFunc(macs, func(a, b MAC) int { return slices.Compare(a[:], b[:]) })
	return macs
}

// Entries returns every address and MAC address that somebody holds: MAC addresses, then
// addresses. Its cost is in the size of the directory; Changes tell what it would.
func (d *Directory) Entries() []Entry {
	keys := make([]Key, 0, len(d.keys))
	for k, p := range d.keys {
		if !p.holder.IsZero() && k.Bits == 0 {
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

// entry returns what the holder of a key claims.
func (d *Directory) entry(k Key) (Entry, bool) {
	p := d.keys[k]
	if p == nil || p.holder.IsZero() {
		return Entry{}, false
	}
	var e Entry
	live := 0
	for _, c := range p.claims {
		if !c.live() {
			continue
		}
		live++
		if c.Owner == p.holder {
			e = Entry{Addr: c.Addr, MAC: c.MAC, Node: c.Owner, Generation: c.Generation, Expiry: c.Expiry, Taken: c.Taken}
		}
	}
	e.Contested = live > 1
	return e, true
}

// state returns the state of a key and makes it if needed.
func (d *Directory) state(k Key, now time.Time) *keyState {
	p := d.keys[k]
	if p == nil {
		if len(d.keys) == 0 {
			d.sweepAt = now.Add(sweepPause)
		}
		p = &keyState{}
		d.keys[k] = p
		if k.Bits > 0 {
			d.ranges[k] = struct{}{}
		}
	}
	return p
}

// discard forgets a key that nobody claims.
func (d *Directory) discard(k Key) {
	delete(d.keys, k)
	if d.wants[k] == nil {
		delete(d.ranges, k)
	}
	delete(d.contested, k)
}

// of returns the claim of an owner, nil for none.
func (p *keyState) of(id nodeid.ID) *claimed {
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
