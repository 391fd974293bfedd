package network

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"evio/driver/network/admission"
	"evio/driver/network/claims"
	"evio/driver/plane"
	"evio/overlay"
	"evio/overlay/directory"
)

// maxAsked is how many frames of containers wait for the claimer.
const maxAsked = 256

// job is something that the claimer's goroutine does; its context ends with the network.
type job func(ctx context.Context, now time.Time)

// claimer drives the claims of one network's containers: one goroutine owns the core.
type claimer struct {
	n    *network
	core *claims.Machine
	// counts is how often was used what containers have claimed, at the last look.
	counts map[claims.Key]uint64

	mu     sync.Mutex
	queue  []job
	frames int // among them
	// answers are those to questions that are among them, of each claim one.
	answers map[claims.Claim]bool
	ended   bool
	wake    chan struct{}
	over    chan struct{} // closed when run has ended

	granted atomic.Pointer[map[string][]claims.Claim] // by endpoint
	wanted  atomic.Int64                              // refused claims
	gen     atomic.Uint64                             // of what was granted last
	install chan struct{}                             // gen has risen; holds one
}

func newClaimer(n *network, mode admission.Mode) *claimer {
	c := &claimer{
		n: n, counts: map[claims.Key]uint64{}, answers: map[claims.Claim]bool{}, wake: make(chan struct{}, 1), over: make(chan struct{}), install: make(chan struct{}, 1),
		core: claims.New(claims.Rules{Mode: mode, Subnets: usableSubnets(n.spec.Subnets)}),
	}
	c.granted.Store(&map[string][]claims.Claim{})
	return c
}

// put has f run by the claimer; it does not wait. After the end it does nothing.
func (c *claimer) put(f job) {
	c.mu.Lock()
	if !c.ended {
		c.queue = append(c.queue, f)
	}
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// offer is put for a frame; it reports false if too many wait.
func (c *claimer) offer(f job) bool {
	c.mu.Lock()
	full := c.frames >= maxAsked
	if !full {
		c.frames++
	}
	c.mu.Unlock()
	if full {
		return false
	}
	c.put(func(ctx context.Context, now time.Time) {
		c.mu.Lock()
		c.frames--
		c.mu.Unlock()
		f(ctx, now)
	})
	return true
}

// answer is put for what a container has answered. A second answer about a claim adds
// nothing, and neither does one about what nobody has claimed; so no container can fill
// the queue with answers. Other waiting work never keeps an answer out: that would lose a
// claim.
func (c *claimer) answer(to claims.Claim) {
	if !c.has(to) {
		return
	}
	c.mu.Lock()
	waits := c.answers[to]
	c.answers[to] = true
	c.mu.Unlock()
	if waits {
		return
	}
	c.put(func(ctx context.Context, now time.Time) {
		c.mu.Lock()
		delete(c.answers, to)
		c.mu.Unlock()
		c.carry(ctx, c.core.Answered(to, now))
	})
}

// has reports whether a container has claimed something.
func (c *claimer) has(what claims.Claim) bool {
	for _, list := range *c.granted.Load() {
		if slices.Contains(list, what) {
			return true
		}
	}
	return false
}

// do runs f and waits for that.
func (c *claimer) do(f job) {
	done := make(chan struct{})
	c.put(func(ctx context.Context, now time.Time) {
		defer close(done)
		f(ctx, now)
	})
	select {
	case <-done:
	case <-c.over:
	}
}

// run owns the core until the context ends.
func (c *claimer) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-c.wake:
		case <-timer.C:
		}
		c.mu.Lock()
		queue := c.queue
		c.queue = nil
		c.mu.Unlock()
		for _, f := range queue {
			f(ctx, time.Now())
		}
		if next := c.core.NextTick(); !next.IsZero() {
			if now := time.Now(); !now.Before(next) {
				c.carry(ctx, c.core.Tick(now))
				next = now.Add(time.Millisecond)
			}
			timer.Reset(time.Until(next))
		}
	}
	c.mu.Lock()
	c.ended, c.queue = true, nil
	c.mu.Unlock()
	close(c.over)
}

// installed reports to the core when the bridge has what was granted, until the context
// ends.
func (c *claimer) installed(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.install:
		}
		gen := c.gen.Load()
		if err := c.n.switched.wait(ctx); ofPort(err, "") != nil {
			select {
			case <-ctx.Done():
				return
			case <-time.After(retryAfter):
			}
			c.again()
			continue
		}
		c.put(func(ctx context.Context, now time.Time) { c.carry(ctx, c.core.Installed(gen, now)) })
	}
}

func (c *claimer) again() {
	select {
	case c.install <- struct{}{}:
	default:
	}
}

// carry carries out what the core asks for.
func (c *claimer) carry(ctx context.Context, effects []claims.Effect) {
	for len(effects) > 0 {
		e := effects[0]
		effects = append(effects[1:], c.effect(ctx, e)...)
	}
	c.wanted.Store(int64(c.core.Wanted()))
}

func (c *claimer) effect(ctx context.Context, e claims.Effect) []claims.Effect {
	switch e := e.(type) {
	case claims.Take:
		return c.core.Taken(e.Container, e.Claim, c.take(ctx, e.Claim), time.Now())
	case claims.Withdraw:
		c.withdraw(e.Claim)
	case claims.Changed:
		c.changed(e)
	case claims.Deliver:
		c.putBack(e.Container, e.Frame)
	case claims.Announce:
		c.announce(e.Container, e.Claim.Addr, e.Claim.MAC)
	case claims.Probe:
		c.n.inject(askFor(e.Claim))
	case claims.Look:
		c.n.group.begin(ctx, func(ctx context.Context) { c.look(ctx, e.Container) })
	case claims.GiveWay:
		if node := c.n.currentNode(); node != nil {
			node.AskWay(e.Node, directoryKey(e.Key), party(e.Asker))
		}
	case claims.Kept:
		if node := c.n.currentNode(); node != nil {
			node.KeepFrom(e.Node, directoryKey(e.Key), party(e.Holder))
		}
	case claims.Count:
		c.n.count(c.n.drops.unclaimed(e.Cause))
	case claims.Refused:
		c.logRefused(e)
	}
	return nil
}

// look finds out which of its claims a container has used since the last look. What the
// switch does not report counts as not used: then the container is asked.
func (c *claimer) look(ctx context.Context, id string) {
	counts, err := c.n.sw.Sources(ctx, c.n.bridge)
	c.put(func(ctx context.Context, now time.Time) {
		var used []claims.Key
		for _, have := range c.core.Granted(id) {
			if k := have.Key(); c.uses(k, counts[k.String()], err == nil) {
				used = append(used, k)
			}
		}
		c.carry(ctx, c.core.Looked(id, used, now))
		c.forgetCounts()
	})
}

// uses reports whether a claim was used since the last look, and notes how often it was by
// now, if the switch has reported it.
func (c *claimer) uses(k claims.Key, count uint64, told bool) bool {
	alone := !k.Addr.IsValid() // a MAC address, which cannot be asked
	if !told {
		return alone
	}
	before, looked := c.counts[k]
	c.counts[k] = count
	if count < before {
		before = 0 // its flows were replaced
	}
	// The frame that made a claim does not count as use, except for what cannot be asked.
	return count > before && (looked || alone)
}

// forgetCounts forgets the counts of claims that nobody has any longer.
func (c *claimer) forgetCounts() {
	mine := map[claims.Key]bool{}
	for _, list := range *c.granted.Load() {
		for _, have := range list {
			mine[have.Key()] = true
		}
	}
	maps.DeleteFunc(c.counts, func(k claims.Key, _ uint64) bool { return !mine[k] })
}

// changed hands the present claims of a container to the bridge and to the store.
func (c *claimer) changed(e claims.Changed) {
	list := c.core.Granted(e.Container)
	before := *c.granted.Load()
	after := make(map[string][]claims.Claim, len(before)+1)
	maps.Copy(after, before)
	if len(list) == 0 {
		delete(after, e.Container)
	} else {
		after[e.Container] = list
	}
	c.granted.Store(&after)
	c.gen.Store(e.Gen)
	c.again()
	c.n.plane.keepClaims(c.n.spec.ID, e.Container, list)
}

// keepClaims has the claims of a container stored.
func (p *Plane) keepClaims(network, endpoint string, list []claims.Claim) {
	p.mu.Lock()
	kept := p.kept
	p.mu.Unlock()
	if kept == nil {
		return
	}
	out := make([]plane.Claim, len(list))
	for i, c := range list {
		out[i] = plane.Claim(c)
	}
	kept(network, endpoint, out)
}

// take asks the directory for a claim. Link-local addresses are nobody's but at the
// engine that has used them, and without an overlay there is no directory.
func (c *claimer) take(ctx context.Context, want claims.Claim) claims.Outcome {
	node := c.n.currentNode()
	switch {
	case node == nil && c.nobodys(want.Addr):
		return claims.Outcome{Cause: claims.Outside, Final: true}
	case node == nil:
		return claims.Outcome{}
	case want.LinkLocal() && !c.n.rules.Learn(node.Table(), want.Addr, want.MAC):
		return claims.Outcome{Cause: claims.Held}
	case want.LinkLocal():
		return claims.Outcome{}
	}
	return outcome(node.Take(ctx, want.Addr, want.MAC))
}

// outcome says what an answer of the directory is to a container.
func outcome(err error) claims.Outcome {
	var conflict *directory.ConflictError
	switch {
	case err == nil:
		return claims.Outcome{}
	case errors.As(err, &conflict) && !conflict.Reserved:
		return claims.Outcome{Cause: claims.Held, Holder: claims.Holder{Node: conflict.Owner, Name: conflict.Name, Given: conflict.Given}}
	case errors.Is(err, directory.ErrQuarantined):
		return claims.Outcome{Cause: claims.Held, Holder: claims.Holder{Given: true}}
	case errors.Is(err, directory.ErrFull), errors.Is(err, directory.ErrTakenFull):
		return claims.Outcome{Cause: claims.Limit}
	case errors.Is(err, context.Canceled):
		return claims.Outcome{Cause: claims.Delayed}
	default: // nobody can have it
		return claims.Outcome{Cause: claims.Outside, Final: true}
	}
}

func (c *claimer) withdraw(have claims.Claim) {
	node := c.n.currentNode()
	if node == nil || have.LinkLocal() {
		return
	}
	node.GiveUp(have.Addr, have.MAC)
}

// follow takes from containers what another node turned out to hold, and has containers
// that want something try again.
func (c *claimer) follow(changes []overlay.Change) {
	self := c.n.currentNode().ID()
	mine := map[claims.Key]bool{}
	for _, list := range *c.granted.Load() {
		for _, have := range list {
			mine[have.Key()] = !have.LinkLocal()
		}
	}
	for _, change := range changes {
		k := claims.Key{Addr: change.Addr, MAC: change.MAC}
		if owner := change.After.Node; mine[k] && !owner.IsZero() && owner != self {
			by := claims.Holder{Node: owner, Given: !change.After.Taken}
			c.put(func(ctx context.Context, now time.Time) { c.carry(ctx, c.core.Lost(k, by, now)) })
		}
	}
	if c.wanted.Load() > 0 {
		c.put(func(ctx context.Context, now time.Time) { c.carry(ctx, c.core.Retry(now)) })
	}
}

// nobodys reports whether an address of a network without a directory is one that nobody
// may have: a gateway, or the first or last of a subnet.
func (c *claimer) nobodys(addr netip.Addr) bool {
	if slices.Contains(c.n.spec.Gateways, addr) {
		return true
	}
	return slices.ContainsFunc(usableSubnets(c.n.spec.Subnets), func(p netip.Prefix) bool { return edge(p, addr) })
}

// edge reports whether an address names a whole subnet: network and broadcast address of
// IPv4, the anycast address of its routers of IPv6 (RFC 4291 section 2.6.1).
func edge(p netip.Prefix, addr netip.Addr) bool {
	if !p.Contains(addr) || p.Bits() >= addr.BitLen()-1 {
		return false
	}
	if addr == p.Masked().Addr() {
		return true
	}
	return addr.Is4() && !p.Contains(addr.Next())
}
