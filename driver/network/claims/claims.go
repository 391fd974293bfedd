// Package claims decides what containers of one network may claim by themselves: the
// addresses that keepalived and its kind move between containers, the MAC addresses
// that go with them, and those of machines behind a container's interface.
//
// It is a pure core: frames that the bridge asked about, answers of the directory and
// time go in, effects come out. A claim is made by the frame that needs it, which waits
// for it; it lasts as long as the container uses it or answers for it; and it moves to
// whoever announces it when its holder no longer answers for it.
package claims

import (
	"bytes"
	"cmp"
	"net"
	"net/netip"
	"slices"
	"time"

	"evio/driver/network/admission"
	"evio/overlay/nodeid"
)

// MAC is an Ethernet address.
type MAC = [6]byte

// Claim is an address behind a MAC address or, if Addr is not valid, the MAC address
// alone.
type Claim struct {
	Addr netip.Addr
	MAC  MAC
}

// Key is what a claim is of: an address, or a MAC address if Addr is not valid.
type Key Claim

// Key returns what is claimed.
func (c Claim) Key() Key {
	if c.Addr.IsValid() {
		return Key{Addr: c.Addr}
	}
	return Key{MAC: c.MAC}
}

// String returns the address, or the MAC address.
func (k Key) String() string {
	if k.Addr.IsValid() {
		return k.Addr.String()
	}
	return net.HardwareAddr(k.MAC[:]).String()
}

func (k Key) compare(o Key) int {
	return cmp.Or(bytes.Compare(k.MAC[:], o.MAC[:]), k.Addr.Compare(o.Addr))
}

// LinkLocal reports whether a claim holds at each engine by first use, and no directory
// knows of it.
func (c Claim) LinkLocal() bool { return c.Addr.IsLinkLocalUnicast() }

const (
	// MaxAddrs is how many addresses a container may claim.
	MaxAddrs = 8
	// MaxMACs is how many MAC addresses of VRRP it may claim.
	MaxMACs = 8
	// MaxOpenMACs is how many MAC addresses it may claim in an open network.
	MaxOpenMACs = 16

	// holdFor is how long a frame waits for its claim.
	holdFor = 100 * time.Millisecond
	// maxHeld is how many frames of a container wait for claims, and maxPaused how many wait
	// before they are put back: as many as the switch lets it ask at once.
	maxHeld   = 16
	maxPaused = 100
	// idleAfter is how long after its last use a claim is asked for.
	idleAfter = 30 * time.Second
	// askFirst is when a container is asked first, since it may be about to give the address
	// up because of a message that travels beside the question; askGap is between the
	// questions, asks in number; and askFor after the beginning, 300 ms after the first
	// question, the answer is given.
	askFirst = 100 * time.Millisecond
	askGap   = 75 * time.Millisecond
	asks     = 3
	askFor   = 400 * time.Millisecond
	// rememberFor is how long what was refused becomes a claim as soon as it is free.
	rememberFor = 30 * time.Second
	// showFor is how long the status shows it.
	showFor = 10 * time.Minute
	// maxRefused is how many refused claims of a container are remembered.
	maxRefused = 8
	// retryAfter is how often a refused claim is tried, and moveAfter how often the holder
	// is asked to give way.
	retryAfter = 250 * time.Millisecond
	moveAfter  = time.Second
	// rebindAfter is how often another MAC address of the same container may answer for an
	// address.
	rebindAfter = time.Second
	// lateAfter is how long after its flows a frame may still come that was asked about
	// before; one that comes later goes round in a circle.
	lateAfter = 200 * time.Millisecond
	// A switch goes by what it keeps of earlier flows for a moment after they were changed. A
	// frame that comes although its flows are there waits as long as they have been there, and
	// within these bounds, before it is put back: else it would go round as fast as it can, and
	// use up what the switch lets a container ask.
	minPutBack = 2 * time.Millisecond
	maxPutBack = 50 * time.Millisecond
)

// Rules say what may be claimed.
type Rules struct {
	// Subnets bound the addresses; none: any unicast address.
	Subnets []netip.Prefix
	// Mode strict leaves containers link-local addresses; open lets them have any MAC
	// address, and no others than link-local addresses need claims.
	Mode admission.Mode
}

// Holder is who has what a container wants.
type Holder struct {
	Container string     // of this engine; empty: it is elsewhere
	Node      nodeid.ID  // where; zero: here
	Name      string     // what people call the node, if known
	Given     bool       // Docker handed it out
	MAC       MAC        // of the container, if known
	Addr      netip.Addr // that Docker has given to the container, if known
}

// Machine keeps the claims of the containers of one network. Use New.
type Machine struct {
	rules      Rules
	containers map[string]*container
	taken      map[Key]*container // what containers have claimed, or are about to
	given      map[Key]*container // what Docker has given to them
	gen        uint64             // of what is granted
	out        []Effect
}

// container is one of the containers.
type container struct {
	id      string
	mac     MAC
	given   []netip.Addr
	claims  map[Key]*claim
	waiting []waitingFrame
}

// waitingFrame is a frame that waits for claims.
type waitingFrame struct {
	frame []byte
	needs []Claim
	came  time.Time
	after time.Time // not to be put back before
	until time.Time
}

// claim is what a container has claimed, or would if another did not hold it.
type claim struct {
	Claim
	since     time.Time // of this state
	seen      time.Time // last frame that needs it
	granted   bool
	taking    bool // the directory is asked
	late      bool // what needed it is gone
	gen       uint64
	installed time.Time // zero: its flows are not there
	used      time.Time
	bound     time.Time // when its MAC address was last announced
	looking   bool      // how much it was used is asked
	question  *question
	rival     Rival // who else announces it
	rivalAt   time.Time

	refused Cause // why it is not granted, zero: it is or may be
	holder  Holder
	until   time.Time // it becomes a claim as soon as it is free
	retryAt time.Time
	movedAt time.Time // when the holder was asked to give way
	logged  time.Time
}

// New returns the machine of a network without containers.
func New(r Rules) *Machine {
	return &Machine{rules: r, containers: map[string]*container{}, taken: map[Key]*container{}, given: map[Key]*container{}}
}

// Add attaches a container with what Docker has given to it and with what it claimed in
// an earlier life of this process. What others had claimed of the former they lose.
func (m *Machine) Add(id string, mac MAC, given []netip.Addr, kept []Claim, now time.Time) []Effect {
	m.remove(id, now)
	b := &container{id: id, mac: mac, given: slices.Clone(given), claims: map[Key]*claim{}}
	m.containers[id] = b
	for _, k := range b.own() {
		m.given[k] = b
		if other := m.taken[k]; other != nil {
			m.lose(other, other.claims[k], Outcome{Cause: Held, Holder: Holder{Container: id, Given: true, MAC: mac, Addr: first(given)}}, now)
		}
	}
	for _, c := range kept {
		k := c.Key()
		if m.given[k] != nil || m.taken[k] != nil || m.allowed(b, c) != 0 || !m.room(b, c) {
			continue
		}
		b.claims[k] = &claim{Claim: c, seen: now}
		m.taken[k] = b
		m.grant(b, b.claims[k], now)
		m.emit(Take{Container: id, Claim: c})
	}
	return m.done()
}

// Remove ends a container with all that it claimed.
func (m *Machine) Remove(id string, now time.Time) []Effect {
	m.remove(id, now)
	return m.done()
}

func (m *Machine) remove(id string, now time.Time) {
	b := m.containers[id]
	if b == nil {
		return
	}
	for range b.waiting {
		m.count(Delayed)
	}
	b.waiting = nil
	for _, c := range b.sorted() {
		if c.granted || c.taking {
			m.withdraw(b, c, now)
		}
	}
	delete(m.containers, id)
	for _, k := range b.own() {
		if m.given[k] == b {
			delete(m.given, k)
		}
	}
	for _, k := range b.own() {
		m.freed(k, now)
	}
}

// own returns what Docker has given to a container.
func (b *container) own() []Key {
	keys := []Key{{MAC: b.mac}}
	for _, a := range b.given {
		keys = append(keys, Key{Addr: a})
	}
	return keys
}

// sorted returns the claims of a container: addresses, which refer to MAC addresses,
// first, so that these outlive them.
func (b *container) sorted() []*claim {
	list := make([]*claim, 0, len(b.claims))
	for _, c := range b.claims {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b *claim) int { return a.Key().compare(b.Key()) })
	return list
}

// ids returns the containers in order.
func (m *Machine) ids() []string {
	ids := make([]string, 0, len(m.containers))
	for id := range m.containers {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Granted returns what a container has claimed, MAC addresses last.
func (m *Machine) Granted(id string) []Claim {
	b := m.containers[id]
	if b == nil {
		return nil
	}
	var out []Claim
	for _, c := range b.sorted() {
		if c.granted {
			out = append(out, c.Claim)
		}
	}
	return out
}

func first(addrs []netip.Addr) netip.Addr {
	if len(addrs) == 0 {
		return netip.Addr{}
	}
	return addrs[0]
}

func (m *Machine) emit(e Effect) { m.out = append(m.out, e) }

func (m *Machine) count(c Cause) { m.emit(Count{Cause: c}) }

func (m *Machine) done() []Effect {
	out := m.out
	m.out = nil
	return out
}
