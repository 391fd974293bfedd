package path

import (
	"net/netip"
	"testing"
	"time"
)

func TestPingerMatchesAnswersWithProbes(t *testing.T) {
	var p Pinger
	from := netip.MustParseAddrPort("203.0.113.5:61000")
	by := Route{Local: netip.MustParseAddrPort("192.0.2.1:4000"), Remote: netip.MustParseAddrPort("192.0.2.2:4000")}
	request := p.Request(nil, time.Second, by)
	answer := AppendAnswer(nil, request, from)
	if len(request) != RequestSize || len(answer) != AnswerSize {
		t.Fatalf("sizes %d and %d, want %d and %d", len(request), len(answer), RequestSize, AnswerSize)
	}
	if _, known := p.Answer(answer[:AnswerSize-1], by); known {
		t.Error("a short answer was taken")
	}
	for _, way := range []Route{{}, by} { // the second is the one that counts
		if sent, known := p.Answer(answer, way); !known || sent.Route != by || sent.At != time.Second {
			t.Fatalf("the answer by %v is to %+v, %v, want the probe of one second on its route", way, sent, known)
		}
	}
	for _, way := range []Route{by, {}} {
		if sent, known := p.Answer(answer, way); !known || !sent.Done {
			t.Errorf("the copy by %v is to %+v, %v, want the probe that is done", way, sent, known)
		}
	}
	p.Measure(answer, 100*time.Millisecond)
	if got := p.RoundTrip(); got != 100*time.Millisecond {
		t.Errorf("round trip = %v, want 100 ms", got)
	}
	if got := p.Observed(); got != from {
		t.Errorf("observed = %v, want %v", got, from)
	}
}

func TestPingerSmoothsAndForgets(t *testing.T) {
	var p Pinger
	from := netip.MustParseAddrPort("[2001:db8::5]:6")
	first := p.Request(nil, time.Second, Route{})
	for i := range outstanding {
		at := time.Duration(i+2) * time.Second
		answer := AppendAnswer(nil, p.Request(nil, at, Route{}), from)
		if _, known := p.Answer(answer, Route{}); !known {
			t.Fatal("an answer was not taken")
		}
		p.Measure(answer, 80*time.Millisecond)
	}
	answer := AppendAnswer(nil, first, from)
	if _, known := p.Answer(answer, Route{}); known {
		t.Error("an answer to a forgotten probe was taken")
	}
	p.Measure(answer, 160*time.Millisecond)
	if got := p.RoundTrip(); got != 90*time.Millisecond {
		t.Errorf("round trip = %v, want 80 ms + an eighth of 80 ms", got)
	}
	p.Restart(7 * time.Millisecond)
	if got := p.RoundTrip(); got != 7*time.Millisecond || p.Observed().IsValid() {
		t.Errorf("after a move round trip = %v and observed = %v, want 7 ms and none", got, p.Observed())
	}
}
