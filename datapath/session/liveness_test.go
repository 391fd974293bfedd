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
			verdict := l.tick(now, last, last, roundTrip)
			if verdict == dead {
				if silent := now - last; silent < 2*time.Second || silent > 3500*time.Millisecond {
					t.Errorf("round trip %v: given up after %v, want 2 s to 3.5 s", roundTrip, silent)
				}
				break
			}
			if verdict == probe || verdict == missing {
				probes++
			}
		}
		if probes < 1+burstProbes || probes > 3+burstProbes {
			t.Errorf("round trip %v: %d probes before giving up, want %d or few more", roundTrip, probes, 1+burstProbes)
		}
	}
}

func TestAnsweringPeerIsProbedOncePerInterval(t *testing.T) {
	var l liveness
	var received, previous time.Duration
	for i := range 1000 {
		now := l.next
		switch l.tick(now, received, received, 0) {
		case probe:
			if gap := now - previous; i > 0 && (gap < probeInterval-probeJitter || gap > probeInterval+probeJitter) {
				t.Fatalf("probes %v apart, want %v ± %v", gap, probeInterval, probeJitter)
			}
			previous = now
			received = now + 20*time.Millisecond
		case missing, dead:
			t.Fatal("an answering peer was missed")
		case rest:
		}
	}
}

func TestAnswerToTheLastProbeSaves(t *testing.T) {
	l := liveness{next: time.Second}
	var received time.Duration
	for range 1 + burstProbes {
		if v := l.tick(l.next, received, received, 0); v != probe && v != missing {
			t.Fatalf("verdict %d, want a probe", v)
		}
	}
	received = l.next - time.Millisecond
	if v := l.tick(l.next, received, received, 0); v != rest {
		t.Errorf("verdict %d after an answer, want rest", v)
	}
}

func TestDeafPeerIsGivenUpLater(t *testing.T) {
	l := liveness{next: time.Second}
	for {
		now := l.next
		if l.tick(now, 0, now, 0) != dead { // its records come, its answers do not
			continue
		}
		if silent := now - time.Second; silent < maxDeaf || silent > maxDeaf+burstInterval {
			t.Errorf("given up after %v, want %v", silent, maxDeaf)
		}
		return
	}
}

func TestLateAnswersAreNoReasonToSearch(t *testing.T) {
	const roundTrip = 800 * time.Millisecond
	var l liveness
	var answered, probed time.Duration
	for range 1000 {
		now := l.next
		if probed != 0 && now >= probed+roundTrip {
			answered, probed = probed+roundTrip, 0
		}
		switch l.tick(now, answered, answered, roundTrip) {
		case probe:
			if probed == 0 {
				probed = now
			}
		case missing, dead:
			t.Fatalf("an answer that takes %v is missed after %v", roundTrip, now-l.probed)
		case rest:
		}
	}
}
