package path

import (
	"net/netip"
	"slices"
	"time"

	"github.com/pion/webrtc/v4"
)

const (
	// MaxPairs bounds the routes that a search challenges at once.
	MaxPairs = 32
	// maxTrials bounds the routes under challenge: those of a search among candidates
	// that the peer has replaced meanwhile.
	maxTrials = 2 * MaxPairs
	// maxStrangers is how many addresses that the peer has not named are under
	// challenge at a time, each for strangerTime. It bounds what this node sends to
	// forged sources when someone repeats the peer's records from them.
	maxStrangers = 4
	strangerTime = time.Second
	trialTime    = 3 * time.Second // a known route may be this late
	setAsideTime = 30 * time.Second
	maxSetAside  = 8
	maxSeen      = 4
)

// upgrades is when direct routes are tried after the path has become a relayed
// one, and then again in intervals of the last.
var upgrades = [...]time.Duration{5 * time.Second, 15 * time.Second, 30 * time.Second, 60 * time.Second}

// Selector decides which route a session's records take. It is a pure machine. Set Hosts,
// TURN and Known before Begin; the methods change them later.
//
//	                  foreign record, missed probe, relayed for long
//	current, no doubt ──────────────────────────────────> current in doubt, routes on trial
//	        ^  ^                                            │ current answers │ a trial answers
//	        │  └────────────────────────────────────────────┘                 │ and
//	        └── a trial has become the current route <────────────────────────┘
//	              current has not answered for the grace,
//	              or its own end is gone, or the trial is direct and current relayed
//
// A route becomes the current one only after a challenge was answered on it. Each method
// returns what is to be sent, and whether Current has changed.
type Selector struct {
	Current Route
	Hosts   []netip.AddrPort // own addresses
	TURN    netip.AddrPort   // own relayed address, zero if there is none
	Known   []Candidate      // of the peer, as it has named them
	seen    []netip.AddrPort // other addresses from which the peer has answered

	trials  []trial
	aside   []asideRoute
	doubted bool
	since   time.Duration // when the current route came into doubt
	Lost    bool          // the own end of the current route is gone

	upgrade  time.Duration // when direct routes are tried next, if current is relayed
	upgraded int           // how often that was done
}

// trial is a route under challenge.
type trial struct {
	route    Route
	at       time.Duration // last challenge
	stranger bool
	answered bool
	took     time.Duration
}

// asideRoute is a route that works while the current one works too. It is left alone.
type asideRoute struct {
	route Route
	until time.Duration
}

// Orders is the work that a method wants done.
type Orders struct {
	Challenge []Route       // send one request on each
	Move      bool          // Current has changed
	Took      time.Duration // with Move: the round trip on the new route
	Limited   bool          // a record came from one unknown address too many
}

// Begin starts with the route that ICE has found.
func (p *Selector) Begin(now time.Duration, current Route) { p.become(now, current) }

// ForeignRecord takes note of a valid record that came by another route than the current.
func (p *Selector) ForeignRecord(now time.Duration, r Route) Orders {
	if r == p.Current || !p.hasLocal(r) || p.isSetAside(now, r) {
		return Orders{}
	}
	p.expire(now)
	if t := p.trial(r); t != nil && now-t.at < strangerTime {
		return Orders{}
	}
	if stranger := !p.isKnown(r.Remote); stranger && p.trial(r) == nil && p.strangers() >= maxStrangers {
		return Orders{Limited: true}
	}
	p.doubt(now)
	return p.try(now, []Route{p.Current, r})
}

// Answered takes note of an answer that came by the route of its request, which was sent
// took ago.
func (p *Selector) Answered(now, took, grace time.Duration, r Route) Orders {
	if r == p.Current {
		if p.doubted && now-took >= p.since {
			p.doubted, p.Lost = false, false
		}
		return p.decide(now, grace)
	}
	p.expire(now)
	t := p.trial(r)
	if t == nil {
		return Orders{}
	}
	t.answered, t.stranger, t.took = true, false, took
	p.remember(r.Remote)
	return p.decide(now, grace)
}

// Missed takes note that an answer is missing on the current route. The peer is looked for
// on all others.
func (p *Selector) Missed(now time.Duration) Orders {
	p.doubt(now)
	return p.search(now)
}

// SetHosts replaces the own addresses.
func (p *Selector) SetHosts(now time.Duration, hosts []netip.AddrPort) Orders {
	p.Hosts = hosts
	return p.check(now)
}

// SetTURN replaces the own relayed address, zero for none.
func (p *Selector) SetTURN(now time.Duration, addr netip.AddrPort) Orders {
	p.TURN = addr
	return p.check(now)
}

// SetKnown replaces the candidates of the peer.
func (p *Selector) SetKnown(now time.Duration, candidates []Candidate) Orders {
	p.Known = candidates
	return p.check(now)
}

// check searches if the current route has lost its own end, or is in doubt.
func (p *Selector) check(now time.Duration) Orders {
	p.trials = slices.DeleteFunc(p.trials, func(t trial) bool { return !p.hasLocal(t.route) })
	if p.Lost = !p.hasLocal(p.Current); p.Lost {
		p.doubt(now)
	}
	if p.doubted {
		return p.search(now)
	}
	return Orders{}
}

// Tick does what is due. It is called at the time Next returns.
func (p *Selector) Tick(now, grace time.Duration) Orders {
	p.expire(now)
	if o := p.decide(now, grace); o.Move {
		return o
	}
	if !p.relayed(p.Current) || now < p.upgrade {
		return Orders{}
	}
	p.upgraded++
	p.schedule(now)
	direct := slices.DeleteFunc(p.pairs(), p.relayed)
	return p.try(now, direct)
}

// Next returns when Tick is due, if at all.
func (p *Selector) Next(grace time.Duration) (at time.Duration, due bool) {
	if p.relayed(p.Current) {
		at, due = p.upgrade, true
	}
	if p.doubted && slices.ContainsFunc(p.trials, func(t trial) bool { return t.answered }) {
		if end := p.since + grace; !due || end < at {
			at, due = end, true
		}
	}
	return at, due
}

// decide moves to a route that has answered, if it may. It sets aside what has answered and
// is not needed.
func (p *Selector) decide(now, grace time.Duration) Orders {
	best := -1
	for i := range p.trials {
		if p.trials[i].answered && (best < 0 || p.better(p.trials[i].route, p.trials[best].route)) {
			best = i
		}
	}
	if best < 0 {
		return Orders{}
	}
	t := p.trials[best]
	switch {
	case p.better(t.route, p.Current), p.Lost, p.doubted && now-p.since >= grace:
		p.remember(p.Current.Remote)
		p.become(now, t.route)
		return Orders{Move: true, Took: t.took}
	case !p.doubted:
		p.setAside(now)
	}
	return Orders{}
}

// become makes a route the current one.
func (p *Selector) become(now time.Duration, r Route) {
	p.Current, p.trials, p.aside = r, nil, nil
	p.doubted, p.Lost, p.upgraded = false, false, 0
	p.schedule(now)
}

// schedule sets the time of the next try of direct routes.
func (p *Selector) schedule(now time.Duration) {
	wait := upgrades[len(upgrades)-1]
	if n := p.upgraded; n < len(upgrades) {
		wait = upgrades[n]
		if n > 0 {
			wait -= upgrades[n-1]
		}
	}
	p.upgrade = now + wait
}

func (p *Selector) doubt(now time.Duration) {
	if !p.doubted {
		p.doubted, p.since = true, now
	}
}

func (p *Selector) search(now time.Duration) Orders { return p.try(now, append(p.pairs(), p.Current)) }

// try notes routes as challenged, except those there is no room for. The current one is no
// trial.
func (p *Selector) try(now time.Duration, routes []Route) Orders {
	p.expire(now)
	var o Orders
	for _, r := range routes {
		switch t := p.trial(r); {
		case r == p.Current:
		case t != nil:
			t.at = now
		case len(p.trials) < maxTrials:
			p.trials = append(p.trials, trial{route: r, at: now, stranger: !p.isKnown(r.Remote)})
		default:
			continue
		}
		o.Challenge = append(o.Challenge, r)
	}
	return o
}

func (p *Selector) trial(r Route) *trial {
	for i := range p.trials {
		if p.trials[i].route == r {
			return &p.trials[i]
		}
	}
	return nil
}

func (p *Selector) strangers() (n int) {
	for i := range p.trials {
		if p.trials[i].stranger {
			n++
		}
	}
	return n
}

// expire forgets trials that stay without an answer.
func (p *Selector) expire(now time.Duration) {
	p.trials = slices.DeleteFunc(p.trials, func(t trial) bool {
		return !t.answered && now-t.at >= trialTime || t.stranger && now-t.at >= strangerTime
	})
}

// setAside leaves routes alone, for a while, that have answered and are not needed.
func (p *Selector) setAside(now time.Duration) {
	p.trials = slices.DeleteFunc(p.trials, func(t trial) bool {
		if t.answered {
			p.aside = append(p.aside, asideRoute{t.route, now + setAsideTime})
		}
		return t.answered
	})
	p.aside = p.aside[max(0, len(p.aside)-maxSetAside):]
}

func (p *Selector) isSetAside(now time.Duration, r Route) bool {
	return slices.ContainsFunc(p.aside, func(s asideRoute) bool { return s.route == r && now < s.until })
}

// remember keeps an address of the peer that it has not named.
func (p *Selector) remember(remote netip.AddrPort) {
	if p.TypeOf(remote) == webrtc.ICECandidateTypePrflx && !slices.Contains(p.seen, remote) {
		p.seen = append(p.seen, remote)
		p.seen = p.seen[max(0, len(p.seen)-maxSeen):]
	}
}
