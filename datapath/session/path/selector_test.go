package path

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
	onDirect     = Route{Local: ownA, Remote: peerHost}
	onOther      = Route{Local: ownA, Remote: peerOther}
	onSecond     = Route{Local: ownB, Remote: peerHost}
	onPeersRelay = Route{Local: ownA, Remote: peerRelay}
)

const patient = 300 * time.Millisecond // a grace

func twoUplinks(current Route) *Selector {
	p := &Selector{
		Hosts: []netip.AddrPort{ownA, ownB},
		Known: []Candidate{{webrtc.ICECandidateTypeHost, peerHost}, {webrtc.ICECandidateTypeSrflx, peerOther}, {webrtc.ICECandidateTypeRelay, peerRelay}},
	}
	p.Begin(0, current)
	return p
}

func TestForeignRecordChallengesBothRoutes(t *testing.T) {
	p := twoUplinks(onDirect)
	o := p.ForeignRecord(time.Second, onOther)
	if o.Move || !slices.Equal(o.Challenge, []Route{onDirect, onOther}) {
		t.Fatalf("orders = %+v, want challenges on both routes", o)
	}
	if o := p.ForeignRecord(time.Second+1, onOther); len(o.Challenge) != 0 {
		t.Errorf("orders = %+v for the next record, want none", o)
	}
}

func TestCurrentThatAnswersStays(t *testing.T) {
	p := twoUplinks(onDirect)
	p.ForeignRecord(time.Second, onOther)
	if o := p.Answered(time.Second+20e6, 20e6, patient, onOther); o.Move {
		t.Fatal("moved before the current route had its time")
	}
	p.Answered(time.Second+30e6, 30e6, patient, onDirect)
	if o := p.Tick(2*time.Second, patient); o.Move || p.Current != onDirect {
		t.Fatal("moved although the current route answers")
	}
	if o := p.ForeignRecord(3*time.Second, onOther); len(o.Challenge) != 0 {
		t.Errorf("orders = %+v, want none: both routes work", o)
	}
	if o := p.ForeignRecord(2*time.Second+setAsideTime, onOther); len(o.Challenge) == 0 {
		t.Error("no challenge after a long time")
	}
}

func TestSilentCurrentGivesWay(t *testing.T) {
	p := twoUplinks(onDirect)
	p.ForeignRecord(time.Second, onOther)
	p.Answered(time.Second+20e6, 20e6, patient, onOther)
	if at, due := p.Next(patient); !due || at != time.Second+patient {
		t.Fatalf("next = %v, %v, want the end of the grace", at, due)
	}
	if o := p.Tick(time.Second+patient, patient); !o.Move || p.Current != onOther || o.Took != 20e6 {
		t.Errorf("orders = %+v on %v, want a move to %v", o, p.Current, onOther)
	}
}

func TestAnswerToAnEarlierProbeEndsNoDoubt(t *testing.T) {
	p := twoUplinks(onDirect)
	p.ForeignRecord(time.Second, onOther)
	p.Answered(time.Second+20e6, 20e6, patient, onOther)
	p.Answered(time.Second+30e6, 40e6, patient, onDirect) // sent before the doubt
	if o := p.Tick(time.Second+patient, patient); !o.Move {
		t.Error("an answer to a probe from before the doubt kept the route")
	}
}

func TestDirectIsPreferred(t *testing.T) {
	for _, current := range []Route{onPeersRelay, {Local: ownRelay, TURN: true, Remote: peerHost}} {
		p := twoUplinks(current)
		p.TURN = ownRelay
		at, due := p.Next(patient)
		if !due || at != upgrades[0] {
			t.Fatalf("next = %v, %v, want direct routes tried after %v", at, due, upgrades[0])
		}
		o := p.Tick(at, patient)
		if len(o.Challenge) != 4 || slices.ContainsFunc(o.Challenge, p.relayed) {
			t.Fatalf("challenges = %v, want the four direct routes", o.Challenge)
		}
		if o := p.Answered(at+20e6, 20e6, patient, onSecond); !o.Move || p.Current != onSecond {
			t.Errorf("orders = %+v, want a move: a direct route answers", o)
		}
		if _, due := p.Next(patient); due {
			t.Error("a direct path is to be improved")
		}
	}
}

func TestDirectRoutesAreTriedLessAndLess(t *testing.T) {
	p := twoUplinks(onPeersRelay)
	var times []time.Duration
	for range 6 {
		at, _ := p.Next(patient)
		p.Tick(at, patient)
		times = append(times, at/time.Second)
	}
	if want := []time.Duration{5, 15, 30, 60, 120, 180}; !slices.Equal(times, want) {
		t.Errorf("tried at %d, want %d", times, want)
	}
}

func TestSearchCoversAllPairsWithinItsBound(t *testing.T) {
	p := &Selector{TURN: ownRelay, Known: []Candidate{{webrtc.ICECandidateTypeRelay, peerRelay}}}
	for i := range 10 {
		p.Hosts = append(p.Hosts, addr("192.0.2.%d:4000", i+1), addr("[2001:db8::%d]:4000", i+1))
		p.Known = append(p.Known, Candidate{webrtc.ICECandidateTypeHost, addr("198.51.100.%d:4000", i+1)}, Candidate{webrtc.ICECandidateTypeHost, addr("[2001:db8:1::%d]:4000", i+1)})
	}
	p.Begin(0, Route{Local: p.Hosts[0], Remote: p.Known[1].Addr})
	routes := p.pairs()
	if len(routes) > MaxPairs || len(routes) < MaxPairs-1 {
		t.Errorf("%d routes, want %d", len(routes), MaxPairs)
	}
	want := []Route{
		{Local: p.Hosts[1], Remote: p.Known[2].Addr},
		{Local: p.Hosts[2], Remote: p.Known[1].Addr},
		{Local: ownRelay, TURN: true, Remote: peerRelay},
	}
	for _, r := range want {
		if !slices.Contains(routes, r) {
			t.Errorf("%v is not among the routes", r)
		}
	}
	for i, r := range routes {
		if r.Local.Addr().Is4() != r.Remote.Addr().Is4() || r == p.Current || slices.Contains(routes[:i], r) {
			t.Errorf("route %v: of two families, current, or twice", r)
		}
	}
}

func TestGoneAddressMovesAtTheFirstAnswer(t *testing.T) {
	p := twoUplinks(onDirect)
	if o := p.SetHosts(time.Second, []netip.AddrPort{ownB}); !slices.Contains(o.Challenge, onSecond) {
		t.Fatalf("challenges = %v, want the second uplink's", o.Challenge)
	}
	if o := p.Answered(time.Second+20e6, 20e6, patient, onSecond); !o.Move {
		t.Error("did not move at once")
	}
}

func TestGoneAddressIsNeverMovedTo(t *testing.T) {
	p := twoUplinks(onDirect)
	p.Missed(time.Second)
	if o := p.Answered(time.Second+20e6, 20e6, patient, onSecond); o.Move {
		t.Fatal("moved before the current route had its time")
	}
	p.SetHosts(time.Second+30e6, []netip.AddrPort{ownA})
	if o := p.Tick(2*time.Second, patient); o.Move || p.Current != onDirect {
		t.Errorf("moved to %v, whose own end is gone", p.Current)
	}
}

func TestNewCandidatesAreChallengedWithinABound(t *testing.T) {
	p := twoUplinks(onDirect)
	p.Missed(time.Second)
	sent := 0
	for i := range 100 {
		var known []Candidate
		for j := range MaxCandidates {
			known = append(known, Candidate{webrtc.ICECandidateTypeHost, addr("198.18.%d.%d:1", i, j+1)})
		}
		sent += len(p.SetKnown(time.Second+time.Duration(i)*time.Millisecond, known).Challenge)
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
		o := p.ForeignRecord(now, Route{Local: ownA, Remote: addr("198.18.%d.%d:1", i/256, i%256)})
		for _, r := range o.Challenge {
			if r != onDirect {
				targets[r.Remote] = true
			}
		}
		if o.Limited {
			limited++
		}
		if len(p.trials) > maxStrangers {
			t.Fatalf("%d trials, want at most %d", len(p.trials), maxStrangers)
		}
		p.Answered(now, 0, patient, onDirect)
	}
	if want := maxStrangers * 10; len(targets) > want || limited != rounds-len(targets) {
		t.Errorf("%d addresses were challenged and %d refused, want at most %d", len(targets), limited, want)
	}
	if o := p.ForeignRecord(20*time.Second, onOther); len(o.Challenge) == 0 {
		t.Error("a candidate of the peer found no place")
	}
}

// TestMovesOnlyToWhatHasAnswered lets anything happen in any order: the current
// route is one that has answered since it was challenged, and no list grows.
func TestMovesOnlyToWhatHasAnswered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := twoUplinks(onDirect)
		remotes := []netip.AddrPort{peerHost, peerOther, peerRelay, stranger, addr("198.18.0.2:2")}
		var routes []Route
		for _, r := range remotes {
			routes = append(routes, Route{Local: ownA, Remote: r}, Route{Local: ownB, Remote: r},
				Route{Local: ownRelay, TURN: true, Remote: r})
		}
		challenged, answered := map[Route]bool{}, map[Route]bool{onDirect: true}
		var now time.Duration
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now += time.Duration(rapid.IntRange(0, 2000).Draw(t, "ms")) * time.Millisecond
			r := rapid.SampledFrom(routes).Draw(t, "route")
			var o Orders
			switch rapid.IntRange(0, 6).Draw(t, "event") {
			case 0:
				o = p.ForeignRecord(now, r)
			case 1:
				if challenged[r] {
					answered[r] = true
					o = p.Answered(now, time.Duration(rapid.IntRange(0, 500).Draw(t, "took"))*time.Millisecond, patient, r)
				}
			case 2:
				o = p.Missed(now)
			case 3:
				o = p.Tick(now, patient)
			case 4:
				o = p.SetHosts(now, [][]netip.AddrPort{{ownA, ownB}, {ownB}, nil}[rapid.IntRange(0, 2).Draw(t, "hosts")])
			case 5:
				o = p.SetTURN(now, []netip.AddrPort{ownRelay, {}}[rapid.IntRange(0, 1).Draw(t, "relay")])
			case 6:
				o = p.SetKnown(now, p.Known[:rapid.IntRange(0, len(p.Known)).Draw(t, "known")])
			}
			for _, r := range o.Challenge {
				challenged[r] = true
			}
			if !answered[p.Current] {
				t.Fatalf("moved to %v, which has not answered", p.Current)
			}
			if len(o.Challenge) > MaxPairs+1 || len(p.seen) > maxSeen || len(p.aside) > maxSetAside || len(p.trials) > len(routes) {
				t.Fatalf("%d challenges, %d seen, %d settled, %d trials", len(o.Challenge), len(p.seen), len(p.aside), len(p.trials))
			}
		}
	})
}
