package directory

import (
	"slices"
	"time"

	"evio/overlay/nodeid"
)

const (
	// grace is how long an owner may be out of reach before another may take its keys.
	grace = 3 * time.Second
	// memory is how long an owner may be out of reach and gets back what another has
	// taken meanwhile.
	memory = Lifetime
	// settling is how long after the beginning of a session we may hear of a claim that
	// its owner made without knowledge of ours, and how long a claim is a young one.
	settling = time.Minute
	// maxWithdrawn bounds the withdrawn claims and testimonies remembered of each node,
	// beyond which the oldest are forgotten.
	maxWithdrawn = 1024
)

// node is what is known of a node, with what it claims by key.
type node struct {
	id        nodeid.ID
	reachable bool
	since     time.Time     // begin of this state
	session   time.Time     // begin of the last session
	epoch     uint64        // number of that
	last      time.Time     // when it was last in reach, of a session that has ended; zero: never
	gap       time.Duration // for how long it was not, before the last session
	met       time.Time     // as last, of sessions in which it must have heard what we claim
	waiting   bool          // grace has not passed, or was not looked at
	floor     uint64        // claims with a lower sequence number are void
	life      uint64        // newest one that was heard of
	void      []uint64      // lives that have ended though their numbers are higher, latest last

	keys      map[Key]struct{} // of all its claims and testimonies
	addrs     map[MAC][]Key    // addresses that it claims, by the MAC address that they need
	live      int              // claims, not withdrawn
	taken     int              // of those, by containers themselves
	ranges    int              // of those, of ranges
	withdrawn []withdrawal     // and testimonies, oldest first; some are void
	silent    int              // of those that are not void
}

type withdrawal struct {
	key      Key
	sequence uint64
}

func newNode(id nodeid.ID) *node {
	return &node{id: id, keys: make(map[Key]struct{}), addrs: make(map[MAC][]Key)}
}

// node returns what is known of another node; one that was not known is taken to
// be out of reach from now on.
func (d *Directory) node(id nodeid.ID, now time.Time) *node {
	n := d.nodes[id]
	if n == nil {
		n = newNode(id)
		n.since, n.waiting = now, true
		d.nodes[id] = n
	}
	return n
}

// of returns the index of a node's claims, nil for an unknown node.
func (d *Directory) of(id nodeid.ID) *node {
	if id == d.self {
		return d.mine
	}
	return d.nodes[id]
}

// away reports whether a node has been out of reach for so long that its keys may
// be taken.
func (d *Directory) away(id nodeid.ID, now time.Time) bool {
	n := d.nodes[id]
	return id != d.self && n != nil && !n.reachable && now.Sub(n.since) >= grace
}

// NodeReachable says that a session with a node has begun, even when it replaces
// one. What that node claims counts again, beyond what it has held all the time, when
// it says so in this session. The caller then sends it Own.
func (d *Directory) NodeReachable(id nodeid.ID, now time.Time) Update {
	n := d.node(id, now)
	n.ended(now)
	n.gap = 0
	if !n.reachable && !n.last.IsZero() {
		n.gap = now.Sub(n.last)
	}
	n.reachable, n.since, n.session, n.waiting = true, now, now, false
	n.epoch++
	return Update{}
}

// NodeUnreachable says that there has been no session with a node since that
// time. Its claims stay; 3 s later others may take its keys.
func (d *Directory) NodeUnreachable(id nodeid.ID, since time.Time) {
	if n := d.node(id, since); n.reachable {
		n.ended(since)
		n.reachable, n.since, n.waiting = false, since, true
	}
}

// ended notes the end of a session, if there is one.
func (n *node) ended(now time.Time) {
	if !n.reachable {
		return
	}
	n.last = now
	if now.Sub(n.session) >= grace {
		n.met = now
	}
}

// DropNode forgets a node that is no member any more, with all that it claimed.
func (d *Directory) DropNode(id nodeid.ID, now time.Time) Update {
	var u Update
	if id == d.self {
		return u
	}
	u = d.SetGateways(id, nil, now)
	if n := d.nodes[id]; n != nil {
		d.purge(n, now, &u, func(*claimed) bool { return true })
		delete(d.nodes, id)
	}
	return u
}

// maxVoid bounds the lives with higher numbers than the present one that are remembered.
const maxVoid = 8

// turn makes a life the present one though another one with a higher number was heard of:
// the clock that numbers them was set back.
func (n *node) turn(life uint64) {
	n.void = slices.DeleteFunc(n.void, func(v uint64) bool { return v == life })
	if n.life > life {
		n.void = append(n.void, n.life)
		n.void = n.void[max(0, len(n.void)-maxVoid):]
	}
	n.life, n.floor = life, 0
}

// isVoid reports whether a life has ended, whatever its number.
func (n *node) isVoid(life uint64) bool { return slices.Contains(n.void, life) }

// put keeps a claim with its key, instead of what its owner said before.
func (d *Directory) put(c claimed, now time.Time) {
	k, n := c.Key(), d.of(c.Owner)
	p := d.state(k, now)
	if old := p.of(c.Owner); old != nil {
		n.count(old.Claim, -1)
		*old = c
	} else {
		p.claims = append(p.claims, c)
		n.keys[k] = struct{}{}
	}
	n.count(c.Claim, 1)
	if !c.live() {
		n.withdrawn = append(n.withdrawn, withdrawal{k, c.Sequence})
		d.forget(c.Owner, n)
	}
}

// remove takes a node's claim away from its key.
func (d *Directory) remove(k Key, id nodeid.ID) {
	p, n := d.keys[k], d.of(id)
	i := slices.IndexFunc(p.claims, func(c claimed) bool { return c.Owner == id })
	if i < 0 {
		return
	}
	n.count(p.claims[i].Claim, -1)
	p.claims = slices.Delete(p.claims, i, i+1)
	delete(n.keys, k)
}

func (n *node) count(c Claim, by int) {
	if !c.live() {
		n.silent += by
		return
	}
	n.live += by
	k := c.Key()
	if c.Taken {
		n.taken += by
	}
	switch {
	case k.Bits > 0:
		n.ranges += by
	case k.isAddr() && by > 0:
		n.addrs[c.MAC] = append(n.addrs[c.MAC], k)
	case k.isAddr():
		rest := slices.DeleteFunc(n.addrs[c.MAC], func(o Key) bool { return o == k })
		if n.addrs[c.MAC] = rest; len(rest) == 0 {
			delete(n.addrs, c.MAC)
		}
	}
}

// forget bounds the withdrawn claims and testimonies that are remembered of a node: the
// oldest go first. An old record brought back after that can revive no more than what its
// expiry allows.
func (d *Directory) forget(id nodeid.ID, n *node) {
	void := func(w withdrawal) bool {
		c := d.keys[w.key].of(id)
		return c == nil || c.live() || c.Sequence != w.sequence
	}
	for n.silent > maxWithdrawn {
		w := n.withdrawn[0]
		n.withdrawn = n.withdrawn[1:]
		if void(w) {
			continue
		}
		d.remove(w.key, id)
		if len(d.keys[w.key].claims) == 0 {
			d.discard(w.key)
		}
	}
	if len(n.withdrawn) > 2*maxWithdrawn {
		n.withdrawn = slices.DeleteFunc(n.withdrawn, void)
	}
}

// purge removes the claims of a node that match and settles their keys, in order.
func (d *Directory) purge(n *node, now time.Time, u *Update, match func(*claimed) bool) int {
	var keys []Key
	for k := range n.keys {
		if match(d.keys[k].of(n.id)) {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, Key.compare)
	for _, k := range keys {
		d.remove(k, n.id)
		d.resolve(k, now, u)
	}
	return len(keys)
}
