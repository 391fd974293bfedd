package session

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"pgregory.net/rapid"
)

func addr(format string, args ...any) netip.AddrPort {
	return netip.MustParseAddrPort(fmt.Sprintf(format, args...))
}

var (
	ownA, ownB   = addr("192.0.2.1:4000"), addr("192.0.2.2:4000")
	ownRelay     = addr("203.0.113.1:50000")
	peerHost     = addr("198.51.100.1:4000")
	peerOther    = addr("198.51.100.2:4000")
	peerRelay    = addr("203.0.113.2:50000")
	stranger     = addr("198.18.0.1:1")
	onDirect     = route{local: ownA, remote: peerHost}
	onOther      = route{local: ownA, remote: peerOther}
	onSecond     = route{local: ownB, remote: peerHost}
	onPeersRelay = route{local: ownA, remote: peerRelay}
)

const patient = 300 * time.Millisecond // a grace

func twoUplinks(current route) *paths {
	p := &paths{
		hosts: []netip.AddrPort{ownA, ownB},
		known: []Candidate{{webrtc.ICECandidateTypeHost, peerHost}, {webrtc.ICECandidateTypeSrflx, peerOther}, {webrtc.ICECandidateTypeRelay, peerRelay}},
	}
	p.begin(0, current)
	return p
}

func TestForeignRecordChallengesBothRoutes(t *testing.T) {
	p := twoUplinks(onDirect)
	o := p.foreign(time.Second, onOther)
	if o.move || !slices.Equal(o.challenge, []route{onDirect, onOther}) {
		t.Fatalf("orders = %+v, want challenges on both routes", o)
	}
	if o := p.foreign(time.Second+1, onOther); len(o.challenge) != 0 {
		t.Errorf("orders = %+v for the next record, want none", o)
	}
}

func TestCurrentThatAnswersStays(t *testing.T) {
	p := twoUplinks(onDirect)
	p.foreign(time.Second, onOther)
	if o := p.answered(time.Second+20e6, 20e6, patient, onOther); o.move {
		t.Fatal("moved before the current route had its time")
	}
	p.answered(time.Second+30e6, 30e6, patient, onDirect)
	if o := p.tick(2*time.Second, patient); o.move || p.current != onDirect {
		t.Fatal("moved although the current route answers")
	}
	if o := p.foreign(3*time.Second, onOther); len(o.challenge) != 0 {
		t.Errorf("orders = %+v, want none: both routes work", o)
	}
	if o := p.foreign(2*time.Second+settledTime, onOther); len(o.challenge) == 0 {
		t.Error("no challenge after a long time")
	}
}

func TestSilentCurrentGivesWay(t *testing.T) {
	p := twoUplinks(onDirect)
	p.foreign(time.Second, onOther)
	p.answered(time.Second+20e6, 20e6, patient, onOther)
	if at, due := p.next(patient); !due || at != time.Second+patient {
		t.Fatalf("next = %v, %v, want the end of the grace", at, due)
	}
	if o := p.tick(time.Second+patient, patient); !o.move || p.current != onOther || o.took != 20e6 {
		t.Errorf("orders = %+v on %v, want a move to %v", o, p.current, onOther)
	}
}

func TestAnswerToAnEarlierProbeEndsNoDoubt(t *testing.T) {
	p := twoUplinks(onDirect)
	p.foreign(time.Second, onOther)
	p.answered(time.Second+20e6, 20e6, patient, onOther)
	p.answered(time.Second+30e6, 40e6, patient, onDirect) // sent before the doubt
	if o := p.tick(time.Second+patient, patient); !o.move {
		t.Error("an answer to a probe from before the doubt kept the route")
	}
}

func TestDirectIsPreferred(t *testing.T) {
	for _, current := range []route{onPeersRelay, {local: ownRelay, relayed: true, remote: peerHost}} {
		p := twoUplinks(current)
		p.relay = ownRelay
		at, due := p.next(patient)
		if !due || at != upgrades[0] {
			t.Fatalf("next = %v, %v, want direct routes tried after %v", at, due, upgrades[0])
		}
		o := p.tick(at, patient)
		if len(o.challenge) != 4 || slices.ContainsFunc(o.challenge, p.relayed) {
			t.Fatalf("challenges = %v, want the four direct routes", o.challenge)
		}
		if o := p.answered(at+20e6, 20e6, patient, onSecond); !o.move || p.current != onSecond {
			t.Errorf("orders = %+v, want a move: a direct route answers", o)
		}
		if _, due := p.next(patient); due {
			t.Error("a direct path is to be improved")
		}
	}
}

func TestDirectRoutesAreTriedLessAndLess(t *testing.T) {
	p := twoUplinks(onPeersRelay)
	var times []time.Duration
	for range 6 {
		at, _ := p.next(patient)
		p.tick(at, patient)
		times = append(times, at/time.Second)
	}
	if want := []time.Duration{5, 15, 30, 60, 120, 180}; !slices.Equal(times, want) {
		t.Errorf("tried at %d, want %d", times, want)
	}
}

func TestSearchCoversAllPairsWithinItsBound(t *testing.T) {
	p := &paths{relay: ownRelay, known: []Candidate{{webrtc.ICECandidateTypeRelay, peerRelay}}}
	for i := range 10 {
		p.hosts = append(p.hosts, addr("192.0.2.%d:4000", i+1), addr("[2001:db8::%d]:4000", i+1))
		p.known = append(p.known, Candidate{webrtc.ICECandidateTypeHost, addr("198.51.100.%d:4000", i+1)}, Candidate{webrtc.ICECandidateTypeHost, addr("[2001:db8:1::%d]:4000", i+1)})
	}
	p.begin(0, route{local: p.hosts[0], remote: p.known[1].Addr})
	routes := p.pairs()
	if len(routes) > maxPairs || len(routes) < maxPairs-1 {
		t.Errorf("%d routes, want %d", len(routes), maxPairs)
	}
	want := []route{
		{local: p.hosts[1], remote: p.known[2].Addr},
		{local: p.hosts[2], remote: p.known[1].Addr},
		{local: ownRelay, relayed: true, remote: peerRelay},
	}
	for _, r := range want {
		if !slices.Contains(routes, r) {
			t.Errorf("%v is not among the routes", r)
		}
	}
	for i, r := range routes {
		if r.local.Addr().Is4() != r.remote.Addr().Is4() || r == p.current || slices.Contains(routes[:i], r) {
			t.Errorf("route %v: of two families, current, or twice", r)
		}
	}
}

func TestGoneAddressMovesAtTheFirstAnswer(t *testing.T) {
	p := twoUplinks(onDirect)
	if o := p.setHosts(time.Second, []netip.AddrPort{ownB}); !slices.Contains(o.challenge, onSecond) {
		t.Fatalf("challenges = %v, want the second uplink's", o.challenge)
	}
	if o := p.answered(time.Second+20e6, 20e6, patient, onSecond); !o.move {
		t.Error("did not move at once")
	}
}

func TestGoneAddressIsNeverMovedTo(t *testing.T) {
	p := twoUplinks(onDirect)
	p.missed(time.Second)
	if o := p.answered(time.Second+20e6, 20e6, patient, onSecond); o.move {
		t.Fatal("moved before the current route had its time")
	}
	p.setHosts(time.Second+30e6, []netip.AddrPort{ownA})
	if o := p.tick(2*time.Second, patient); o.move || p.current != onDirect {
		t.Errorf("moved to %v, whose own end is gone", p.current)
	}
}

func TestNewCandidatesAreChallengedWithinABound(t *testing.T) {
	p := twoUplinks(onDirect)
	p.missed(time.Second)
	sent := 0
	for i := range 100 {
		var known []Candidate
		for j := range MaxCandidates {
			known = append(known, Candidate{webrtc.ICECandidateTypeHost, addr("198.18.%d.%d:1", i, j+1)})
		}
		sent += len(p.setKnown(time.Second+time.Duration(i)*time.Millisecond, known).challenge)
	}
	if len(p.trials) > maxTrials || sent > maxTrials+100 { // and the current route each time
		t.Errorf("%d routes on trial, %d challenges", len(p.trials), sent)
	}
}

func TestStrangersAreBounded(t *testing.T) {
	p := twoUplinks(onDirect)
	targets, limited := map[netip.AddrPort]bool{}, 0
	const rounds = 1000 // ten seconds
	for i := range rounds {
		now := time.Second + time.Duration(i)*10*time.Millisecond
		o := p.foreign(now, route{local: ownA, remote: addr("198.18.%d.%d:1", i/256, i%256)})
		for _, r := range o.challenge {
			if r != onDirect {
				targets[r.remote] = true
			}
		}
		if o.limited {
			limited++
		}
		if len(p.trials) > maxStrangers {
			t.Fatalf("%d trials, want at most %d", len(p.trials), maxStrangers)
		}
		p.answered(now, 0, patient, onDirect)
	}
	if want := maxStrangers * 10; len(targets) > want || limited != rounds-len(targets) {
		t.Errorf("%d addresses were challenged and %d refused, want at most %d", len(targets), limited, want)
	}
	if o := p.foreign(20*time.Second, onOther); len(o.challenge) == 0 {
		t.Error("a candidate of the peer found no place")
	}
}

// TestMovesOnlyToWhatHasAnswered lets anything happen in any order: the current
// route is one that has answered since it was challenged, and no list grows.
func TestMovesOnlyToWhatHasAnswered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := twoUplinks(onDirect)
		remotes := []netip.AddrPort{peerHost, peerOther, peerRelay, stranger, addr("198.18.0.2:2")}
		var routes []route
		for _, r := range remotes {
			routes = append(routes, route{local: ownA, remote: r}, route{local: ownB, remote: r},
				route{local: ownRelay, relayed: true, remote: r})
		}
		challenged, answered := map[route]bool{}, map[route]bool{onDirect: true}
		var now time.Duration
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now += time.Duration(rapid.IntRange(0, 2000).Draw(t, "ms")) * time.Millisecond
			r := rapid.SampledFrom(routes).Draw(t, "route")
			var o orders
			switch rapid.IntRange(0, 6).Draw(t, "event") {
			case 0:
				o = p.foreign(now, r)
			case 1:
				if challenged[r] {
					answered[r] = true
					o = p.answered(now, time.Duration(rapid.IntRange(0, 500).Draw(t, "took"))*time.Millisecond, patient, r)
				}
			case 2:
				o = p.missed(now)
			case 3:
				o = p.tick(now, patient)
			case 4:
				o = p.setHosts(now, [][]netip.AddrPort{{ownA, ownB}, {ownB}, nil}[rapid.IntRange(0, 2).Draw(t, "hosts")])
			case 5:
				o = p.setRelay(now, []netip.AddrPort{ownRelay, {}}[rapid.IntRange(0, 1).Draw(t, "relay")])
			case 6:
				o = p.setKnown(now, p.known[:rapid.IntRange(0, len(p.known)).Draw(t, "known")])
			}
			for _, r := range o.challenge {
				challenged[r] = true
			}
			if !answered[p.current] {
				t.Fatalf("moved to %v, which has not answered", p.current)
			}
			if len(o.challenge) > maxPairs+1 || len(p.seen) > maxSeen || len(p.settled) > maxSettled || len(p.trials) > len(routes) {
				t.Fatalf("%d challenges, %d seen, %d settled, %d trials", len(o.challenge), len(p.seen), len(p.settled), len(p.trials))
			}
		}
	})
}
