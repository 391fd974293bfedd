package path

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
)

func TestSenderRepeatsUntilReceived(t *testing.T) {
	var sender CandidateSender
	candidates := sampleCandidates()
	sender.Offer(time.Second, candidates)
	if !sender.Tick(time.Second) || sender.Tick(time.Second) {
		t.Fatal("want the record once at the beginning")
	}
	if !sender.Tick(sender.Next) {
		t.Fatal("want it again")
	}
	sender.Received(sender.Sequence - 1)
	if !sender.Tick(sender.Next) {
		t.Error("an old receipt ended the repetition")
	}
	sender.Received(sender.Sequence)
	if sender.Tick(sender.Next + time.Hour) {
		t.Error("repeated after the receipt")
	}
	sender.Offer(2*time.Second, slices.Clone(candidates))
	if sender.Waiting {
		t.Error("what the peer has is sent again")
	}
	sender.Offer(2*time.Second, candidates[:1])
	n := 0
	for ; sender.Waiting; n++ {
		sender.Tick(sender.Next)
	}
	if n != maxRepeats {
		t.Errorf("sent %d times to a peer that does not answer, want %d", n, maxRepeats)
	}
}

func TestReceiverTakesTheNewest(t *testing.T) {
	var r CandidateReceiver
	now := time.Hour
	for i := range uint32(receiveBurst) {
		if r.Receive(i+1, nil) || !r.Tick(now) {
			t.Fatalf("record %d is not taken at once", i)
		}
	}
	if r.Receive(receiveBurst, nil) || r.Tick(now) {
		t.Error("a record is taken again")
	}
	if r.Receive(10, nil) || r.Tick(now) || !r.Receive(12, sampleCandidates()) || r.Receive(11, nil) || r.Tick(r.Next()-1) {
		t.Error("want one record waiting, the newest")
	}
	if !r.Tick(r.Next()) || len(r.Candidates) != len(sampleCandidates()) || r.Next() <= now+receiveInterval {
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
