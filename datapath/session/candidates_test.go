package session

import (
	"slices"
	"testing"
	"time"
)

func TestTellingRepeatsUntilReceived(t *testing.T) {
	var tell telling
	told := sample().Candidates
	tell.tell(time.Second, told)
	if !tell.tick(time.Second) || tell.tick(time.Second) {
		t.Fatal("want the record once at the beginning")
	}
	if !tell.tick(tell.next) {
		t.Fatal("want it again")
	}
	tell.received(tell.sequence - 1)
	if !tell.tick(tell.next) {
		t.Error("an old receipt ended the repetition")
	}
	tell.received(tell.sequence)
	if tell.tick(tell.next + time.Hour) {
		t.Error("repeated after the receipt")
	}
	tell.tell(2*time.Second, slices.Clone(told))
	if tell.waiting {
		t.Error("what the peer has is told again")
	}
	tell.tell(2*time.Second, told[:1])
	n := 0
	for ; tell.waiting; n++ {
		tell.tick(tell.next)
	}
	if n != tellMost {
		t.Errorf("told %d times to a peer that does not answer, want %d", n, tellMost)
	}
}

// FuzzCandidates parses anything; what is accepted is within its bounds and means
// the same after another round.
func FuzzCandidates(f *testing.F) {
	f.Add(appendCandidates(nil, 7, sample().Candidates))
	f.Add(appendField(appendCandidates(nil, 7, nil), 200, []byte("later")))
	f.Add([]byte{opCandidates, 0, 0, 0, 1})
	f.Add([]byte{opCandidates, 0, 0, 0, 1, fieldCandidate, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		sequence, candidates, err := parseCandidates(b)
		if err != nil {
			return
		}
		if len(candidates) > MaxCandidates {
			t.Fatalf("%d candidates", len(candidates))
		}
		again, same, err := parseCandidates(appendCandidates(nil, sequence, candidates))
		if err != nil || again != sequence || !slices.Equal(same, candidates) {
			t.Fatalf("second round gives %d %v, %v, want %d %v", again, same, err, sequence, candidates)
		}
	})
}
