package session

import (
	"net/netip"
	"slices"
	"time"

	"github.com/pion/webrtc/v4"
)

const (
	// maxPairs bounds the routes that a search challenges at once.
	maxPairs = 32
	// maxTrials bounds the routes under challenge: those of a search among candidates
	// that the peer has replaced meanwhile.
	maxTrials = 2 * maxPairs
	// maxStrangers is how many addresses that the peer has not told are under
	// challenge at a time, each for strangerTime. Whoever repeats the peer's
	// records from forged sources gets no more than that sent to them.
	maxStrangers = 4
	strangerTime = time.Second
	trialTime    = 3 * time.Second // a known route may be this late
	settledTime  = 30 * time.Second
	maxSettled   = 8
	maxSeen      = 4
)

// upgrades is when direct routes are tried after the path has become a relayed
// one, and then again in intervals of the last.
var upgrades = [...]time.Duration{5 * time.Second, 15 * time.Second, 30 * time.Second, 60 * time.Second}

// paths decides which route a session's records take. It is a pure machine:
//
//	                  foreign record, missed probe, relayed for long
//	current, no doubt ──────────────────────────────────> current in doubt, routes on trial
//	        ^  ^                                            │ current answers │ a trial answers
//	        │  └────────────────────────────────────────────┘                 │ and
//	        └── a trial has become the current route <────────────────────────┘
//	              current has not answered for the grace,
//	              or its own end is gone, or the trial is direct and current relayed
//
// A route becomes the current one only after a challenge was answered on it. Each
// method returns what is to be sent; move tells that current has changed.
type paths struct {
	current route
	hosts   []netip.AddrPort // own addresses
	relay   netip.AddrPort   // own relayed address, zero if there is none
	known   []Candidate      // of the peer, as it has told them
	seen    []netip.AddrPort // other addresses from which the peer has answered

	trials  []trial
	settled []settled
	doubted bool
	since   time.Duration // when the current route came into doubt
	lost    bool          // the own end of the current route is gone

	upgrade  time.Duration // when direct routes are tried next, if current is relayed
	upgraded int           // how often that was done
}

// trial is a route under challenge.
type trial struct {
	route    route
	at       time.Duration // last challenge
	stranger bool
	answered bool
	took     time.Duration
}

// settled is a route that works, as the current one does: it is left alone.
type settled struct {
	route route
	until time.Duration
}

// orders are what the machine wants done.
type orders struct {
	challenge []route // one request on each
	move      bool    // current has changed
	took      time.Duration
	limited   bool // a stranger too many
}

// begin starts with the route that ICE has found.
func (p *paths) begin(now time.Duration, current route) { p.become(now, current) }

// foreign is told of a valid record that came by another route than the current.
func (p *paths) foreign(now time.Duration, r route) orders {
	if r == p.current || !p.own(r) || p.isSettled(now, r) {
		return orders{}
	}
	p.expire(now)
	if t := p.trial(r); t != nil && now-t.at < strangerTime {
		return orders{}
	}
	if stranger := !p.tells(r.remote); stranger && p.trial(r) == nil && p.strangers() >= maxStrangers {
		return orders{limited: true}
	}
	p.doubt(now)
	return p.try(now, []route{p.current, r})
}

// answered is told of an answer that came by the route of its request, which was
// sent took ago.
func (p *paths) answered(now, took, grace time.Duration, r route) orders {
	if r == p.current {
		if p.doubted && now-took >= p.since {
			p.doubted, p.lost = false, false
		}
		return p.decide(now, grace)
	}
	p.expire(now)
	t := p.trial(r)
	if t == nil {
		return orders{}
	}
	t.answered, t.stranger, t.took = true, false, took
	p.remember(r.remote)
	return p.decide(now, grace)
}

// missed is told that the current route owes an answer: the peer is looked for
// on all others.
func (p *paths) missed(now time.Duration) orders {
	p.doubt(now)
	return p.search(now)
}

// setHosts replaces the own addresses.
func (p *paths) setHosts(now time.Duration, hosts []netip.AddrPort) orders {
	p.hosts = hosts
	return p.check(now)
}

// setRelay replaces the own relayed address, zero for none.
func (p *paths) setRelay(now time.Duration, addr netip.AddrPort) orders {
	p.relay = addr
	return p.check(now)
}

// setKnown replaces the candidates of the peer.
func (p *paths) setKnown(now time.Duration, candidates []Candidate) orders {
	p.known = candidates
	return p.check(now)
}

// check searches if the current route has lost its own end, or is in doubt.
func (p *paths) check(now time.Duration) orders {
	p.trials = slices.DeleteFunc(p.trials, func(t trial) bool { return !p.own(t.route) })
	if p.lost = !p.own(p.current); p.lost {
		p.doubt(now)
	}
	if p.doubted {
		return p.search(now)
	}
	return orders{}
}

// tick is called at next.
func (p *paths) tick(now, grace time.Duration) orders {
	p.expire(now)
	if o := p.decide(now, grace); o.move {
		return o
	}
	if !p.relayed(p.current) || now < p.upgrade {
		return orders{}
	}
	p.upgraded++
	p.schedule(now)
	direct := slices.DeleteFunc(p.pairs(), p.relayed)
	return p.try(now, direct)
}

// next is when tick is due, if at all.
func (p *paths) next(grace time.Duration) (at time.Duration, due bool) {
	if p.relayed(p.current) {
		at, due = p.upgrade, true
	}
	if p.doubted && slices.ContainsFunc(p.trials, func(t trial) bool { return t.answered }) {
		if end := p.since + grace; !due || end < at {
			at, due = end, true
		}
	}
	return at, due
}

// decide moves to a route that has answered, if it may. What has answered and is
// not needed is settled.
func (p *paths) decide(now, grace time.Duration) orders {
	best := -1
	for i := range p.trials {
		if p.trials[i].answered && (best < 0 || p.better(p.trials[i].route, p.trials[best].route)) {
			best = i
		}
	}
	if best < 0 {
		return orders{}
	}
	t := p.trials[best]
	switch {
	case p.better(t.route, p.current), p.lost, p.doubted && now-p.since >= grace:
		p.remember(p.current.remote)
		p.become(now, t.route)
		return orders{move: true, took: t.took}
	case !p.doubted:
		p.settle(now)
	}
	return orders{}
}

// become makes a route the current one.
func (p *paths) become(now time.Duration, r route) {
	p.current, p.trials, p.settled = r, nil, nil
	p.doubted, p.lost, p.upgraded = false, false, 0
	p.schedule(now)
}

// schedule sets the time of the next try of direct routes.
func (p *paths) schedule(now time.Duration) {
	wait := upgrades[len(upgrades)-1]
	if n := p.upgraded; n < len(upgrades) {
		wait = upgrades[n]
		if n > 0 {
			wait -= upgrades[n-1]
		}
	}
	p.upgrade = now + wait
}

func (p *paths) doubt(now time.Duration) {
	if !p.doubted {
		p.doubted, p.since = true, now
	}
}

func (p *paths) search(now time.Duration) orders { return p.try(now, append(p.pairs(), p.current)) }

// try notes routes as challenged, but for those for which there is no room. The
// current one is no trial.
func (p *paths) try(now time.Duration, routes []route) orders {
	p.expire(now)
	var o orders
	for _, r := range routes {
		switch t := p.trial(r); {
		case r == p.current:
		case t != nil:
			t.at = now
		case len(p.trials) < maxTrials:
			p.trials = append(p.trials, trial{route: r, at: now, stranger: !p.tells(r.remote)})
		default:
			continue
		}
		o.challenge = append(o.challenge, r)
	}
	return o
}

func (p *paths) trial(r route) *trial {
	for i := range p.trials {
		if p.trials[i].route == r {
			return &p.trials[i]
		}
	}
	return nil
}

func (p *paths) strangers() (n int) {
	for i := range p.trials {
		if p.trials[i].stranger {
			n++
		}
	}
	return n
}

// expire forgets trials that stay without an answer.
func (p *paths) expire(now time.Duration) {
	p.trials = slices.DeleteFunc(p.trials, func(t trial) bool {
		return !t.answered && now-t.at >= trialTime || t.stranger && now-t.at >= strangerTime
	})
}

// settle leaves the routes alone that have answered in vain.
func (p *paths) settle(now time.Duration) {
	p.trials = slices.DeleteFunc(p.trials, func(t trial) bool {
		if t.answered {
			p.settled = append(p.settled, settled{t.route, now + settledTime})
		}
		return t.answered
	})
	p.settled = p.settled[max(0, len(p.settled)-maxSettled):]
}

func (p *paths) isSettled(now time.Duration, r route) bool {
	return slices.ContainsFunc(p.settled, func(s settled) bool { return s.route == r && now < s.until })
}

// remember keeps an address of the peer that it has not told.
func (p *paths) remember(remote netip.AddrPort) {
	if p.typeOf(remote) == webrtc.ICECandidateTypePrflx && !slices.Contains(p.seen, remote) {
		p.seen = append(p.seen, remote)
		p.seen = p.seen[max(0, len(p.seen)-maxSeen):]
	}
}
