package path

import (
	"testing"
	"time"
)

func TestSilentPeerIsGivenUpWithinBounds(t *testing.T) {
	for _, roundTrip := range []time.Duration{0, 50 * time.Millisecond, 200 * time.Millisecond, time.Second} {
		const last = 100 * time.Second // the last record, just before a round begins
		l := Liveness{Next: last + ProbeInterval + probeJitter}
		probes := 0
		for {
			now := l.Next
			verdict := l.Tick(now, last, last, roundTrip)
			if verdict == Dead {
				if silent := now - last; silent < 2*time.Second || silent > 3500*time.Millisecond {
					t.Errorf("round trip %v: given up after %v, want 2 s to 3.5 s", roundTrip, silent)
				}
				break
			}
			if verdict == Probe || verdict == Missing {
				probes++
			}
		}
		if probes < 1+burstProbes || probes > 3+burstProbes {
			t.Errorf("round trip %v: %d probes before giving up, want %d or few more", roundTrip, probes, 1+burstProbes)
		}
	}
}

func TestAnsweringPeerIsProbedOncePerInterval(t *testing.T) {
	var l Liveness
	var received, previous time.Duration
	for i := range 1000 {
		now := l.Next
		switch l.Tick(now, received, received, 0) {
		case Probe:
			if gap := now - previous; i > 0 && (gap < ProbeInterval-probeJitter || gap > ProbeInterval+probeJitter) {
				t.Fatalf("probes %v apart, want %v ± %v", gap, ProbeInterval, probeJitter)
			}
			previous = now
			received = now + 20*time.Millisecond
		case Missing, Dead:
			t.Fatal("an answering peer was missed")
		case Rest:
		}
	}
}

func TestAnswerToTheLastProbeSaves(t *testing.T) {
	l := Liveness{Next: time.Second}
	var received time.Duration
	for range 1 + burstProbes {
		if v := l.Tick(l.Next, received, received, 0); v != Probe && v != Missing {
			t.Fatalf("verdict %d, want a probe", v)
		}
	}
	received = l.Next - time.Millisecond
	if v := l.Tick(l.Next, received, received, 0); v != Rest {
		t.Errorf("verdict %d after an answer, want rest", v)
	}
}

func TestDeafPeerIsGivenUpLater(t *testing.T) {
	l := Liveness{Next: time.Second}
	for {
		now := l.Next
		if l.Tick(now, 0, now, 0) != Dead { // its records come, its answers do not
			continue
		}
		if silent := now - time.Second; silent < maxDeaf || silent > maxDeaf+BurstInterval {
			t.Errorf("given up after %v, want %v", silent, maxDeaf)
		}
		return
	}
}

func TestLateAnswersAreNoReasonToSearch(t *testing.T) {
	const roundTrip = 800 * time.Millisecond
	var l Liveness
	var answered, probed time.Duration
	for range 1000 {
		now := l.Next
		if probed != 0 && now >= probed+roundTrip {
			answered, probed = probed+roundTrip, 0
		}
		switch l.Tick(now, answered, answered, roundTrip) {
		case Probe:
			if probed == 0 {
				probed = now
			}
		case Missing, Dead:
			t.Fatalf("an answer that takes %v is missed after %v", roundTrip, now-l.probed)
		case Rest:
		}
	}
}
