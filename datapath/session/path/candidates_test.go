package path

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
)

func TestTellingRepeatsUntilReceived(t *testing.T) {
	var tell CandidateSender
	told := sampleCandidates()
	tell.Offer(time.Second, told)
	if !tell.Tick(time.Second) || tell.Tick(time.Second) {
		t.Fatal("want the record once at the beginning")
	}
	if !tell.Tick(tell.Next) {
		t.Fatal("want it again")
	}
	tell.Received(tell.Sequence - 1)
	if !tell.Tick(tell.Next) {
		t.Error("an old receipt ended the repetition")
	}
	tell.Received(tell.Sequence)
	if tell.Tick(tell.Next + time.Hour) {
		t.Error("repeated after the receipt")
	}
	tell.Offer(2*time.Second, slices.Clone(told))
	if tell.Waiting {
		t.Error("what the peer has is told again")
	}
	tell.Offer(2*time.Second, told[:1])
	n := 0
	for ; tell.Waiting; n++ {
		tell.Tick(tell.Next)
	}
	if n != maxRepeats {
		t.Errorf("told %d times to a peer that does not answer, want %d", n, maxRepeats)
	}
}

func TestHearingTakesTheNewest(t *testing.T) {
	var h CandidateReceiver
	now := time.Hour
	for i := range uint32(receiveBurst) {
		if h.Receive(i+1, nil) || !h.Tick(now) {
			t.Fatalf("record %d is not taken at once", i)
		}
	}
	if h.Receive(receiveBurst, nil) || h.Tick(now) {
		t.Error("a record is taken again")
	}
	if h.Receive(10, nil) || h.Tick(now) || !h.Receive(12, sampleCandidates()) || h.Receive(11, nil) || h.Tick(h.Next()-1) {
		t.Error("want one record waiting, the newest")
	}
	if !h.Tick(h.Next()) || len(h.Candidates) != len(sampleCandidates()) || h.Next() <= now+receiveInterval {
		t.Error("want the newest record at its time, and the next one later")
	}
}

func sampleCandidates() []Candidate {
	return []Candidate{
		{webrtc.ICECandidateTypeHost, netip.MustParseAddrPort("192.0.2.1:4000")},
		{webrtc.ICECandidateTypeHost, netip.MustParseAddrPort("[2001:db8::1]:4000")},
		{webrtc.ICECandidateTypeSrflx, netip.MustParseAddrPort("203.0.113.1:61000")},
	}
}

// FuzzCandidates parses anything; what is accepted is within its bounds and means
// the same after another round.
func FuzzCandidates(f *testing.F) {
	f.Add(AppendCandidates(nil, 7, sampleCandidates()))
	f.Add(AppendField(AppendCandidates(nil, 7, nil), 200, []byte("later")))
	f.Add([]byte{OpCandidates, 0, 0, 0, 1})
	f.Add([]byte{OpCandidates, 0, 0, 0, 1, FieldCandidate, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		sequence, candidates, err := ParseCandidates(b)
		if err != nil {
			return
		}
		if len(candidates) > MaxCandidates {
			t.Fatalf("%d candidates", len(candidates))
		}
		again, same, err := ParseCandidates(AppendCandidates(nil, sequence, candidates))
		if err != nil || again != sequence || !slices.Equal(same, candidates) {
			t.Fatalf("second round gives %d %v, %v, want %d %v", again, same, err, sequence, candidates)
		}
	})
}
