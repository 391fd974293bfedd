package session

import (
	"testing"
	"time"
)

func TestSilentPeerIsGivenUpWithinBounds(t *testing.T) {
	for _, roundTrip := range []time.Duration{0, 50 * time.Millisecond, 200 * time.Millisecond, time.Second} {
		const last = 100 * time.Second // the last record, just before a round begins
		l := liveness{next: last + probeInterval + probeJitter}
		probes := 0
		for {
			now := l.next
			verdict := l.tick(now, last, roundTrip)
			if verdict == dead {
				if silent := now - last; silent < 2*time.Second || silent > 3500*time.Millisecond {
					t.Errorf("round trip %v: given up after %v, want 2 s to 3.5 s", roundTrip, silent)
				}
				break
			}
			if verdict == probe {
				probes++
			}
		}
		if probes != 1+burstProbes {
			t.Errorf("round trip %v: %d probes before giving up, want %d", roundTrip, probes, 1+burstProbes)
		}
	}
}

func TestAnsweringPeerIsProbedOncePerInterval(t *testing.T) {
	var l liveness
	var received, previous time.Duration
	for i := range 1000 {
		now := l.next
		switch l.tick(now, received, 0) {
		case probe:
			if gap := now - previous; i > 0 && (gap < probeInterval-probeJitter || gap > probeInterval+probeJitter) {
				t.Fatalf("probes %v apart, want %v ± %v", gap, probeInterval, probeJitter)
			}
			previous = now
			received = now + 20*time.Millisecond
		case dead:
			t.Fatal("an answering peer was given up")
		case rest:
		}
	}
}

func TestAnswerToTheLastProbeSaves(t *testing.T) {
	l := liveness{next: time.Second}
	var received time.Duration
	for range 1 + burstProbes {
		if v := l.tick(l.next, received, 0); v != probe {
			t.Fatalf("verdict %d, want a probe", v)
		}
	}
	received = l.next - time.Millisecond
	if v := l.tick(l.next, received, 0); v != rest {
		t.Errorf("verdict %d after an answer, want rest", v)
	}
}
