package session

import (
	"net/netip"
	"testing"
	"time"
)

func TestPingerMatchesAnswersWithProbes(t *testing.T) {
	var p pinger
	from := netip.MustParseAddrPort("203.0.113.5:61000")
	by := route{local: netip.MustParseAddrPort("192.0.2.1:4000"), remote: netip.MustParseAddrPort("192.0.2.2:4000")}
	request := p.request(nil, time.Second, by)
	answer := appendAnswer(nil, request, from)
	if len(request) != requestSize || len(answer) != answerSize {
		t.Fatalf("sizes %d and %d, want %d and %d", len(request), len(answer), requestSize, answerSize)
	}
	if _, known := p.answer(answer[:answerSize-1], by); known {
		t.Error("a short answer was taken")
	}
	for _, way := range []route{{}, by} { // the second is the one that counts
		if sent, known := p.answer(answer, way); !known || sent.route != by || sent.at != time.Second {
			t.Fatalf("the answer by %v is to %+v, %v, want the probe of one second on its route", way, sent, known)
		}
	}
	for _, way := range []route{by, {}} {
		if sent, known := p.answer(answer, way); !known || !sent.done {
			t.Errorf("the copy by %v is to %+v, %v, want the probe that is done", way, sent, known)
		}
	}
	p.measure(answer, 100*time.Millisecond)
	if got := p.roundTrip(); got != 100*time.Millisecond {
		t.Errorf("round trip = %v, want 100 ms", got)
	}
	if got := p.observed(); got != from {
		t.Errorf("observed = %v, want %v", got, from)
	}
}

func TestPingerSmoothsAndForgets(t *testing.T) {
	var p pinger
	from := netip.MustParseAddrPort("[2001:db8::5]:6")
	first := p.request(nil, time.Second, route{})
	for i := range outstanding {
		at := time.Duration(i+2) * time.Second
		answer := appendAnswer(nil, p.request(nil, at, route{}), from)
		if _, known := p.answer(answer, route{}); !known {
			t.Fatal("an answer was not taken")
		}
		p.measure(answer, 80*time.Millisecond)
	}
	answer := appendAnswer(nil, first, from)
	if _, known := p.answer(answer, route{}); known {
		t.Error("an answer to a forgotten probe was taken")
	}
	p.measure(answer, 160*time.Millisecond)
	if got := p.roundTrip(); got != 90*time.Millisecond {
		t.Errorf("round trip = %v, want 80 ms + an eighth of 80 ms", got)
	}
	p.restart(7 * time.Millisecond)
	if got := p.roundTrip(); got != 7*time.Millisecond || p.observed().IsValid() {
		t.Errorf("after a move round trip = %v and observed = %v, want 7 ms and none", got, p.observed())
	}
}
