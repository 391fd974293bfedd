package session

import (
	"net/netip"
	"testing"
	"time"
)

func TestPingerMatchesAnswersWithProbes(t *testing.T) {
	var p pinger
	from := netip.MustParseAddrPort("203.0.113.5:61000")
	request := p.request(nil, time.Second)
	answer := appendAnswer(nil, request, from)
	if len(request) != requestSize || len(answer) != answerSize {
		t.Fatalf("sizes %d and %d, want %d and %d", len(request), len(answer), requestSize, answerSize)
	}
	if p.answer(answer[:answerSize-1], time.Second) {
		t.Error("a short answer was taken")
	}
	if !p.answer(answer, 1100*time.Millisecond) {
		t.Fatal("the answer was not taken")
	}
	if p.answer(answer, 1200*time.Millisecond) {
		t.Error("the answer was taken twice")
	}
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
	first := p.request(nil, time.Second)
	for i := range outstanding {
		at := time.Duration(i+2) * time.Second
		r := p.request(nil, at)
		if !p.answer(appendAnswer(nil, r, from), at+80*time.Millisecond) {
			t.Fatal("an answer was not taken")
		}
	}
	if p.answer(appendAnswer(nil, first, from), 20*time.Second) {
		t.Error("an answer to a forgotten probe was taken")
	}
	r := p.request(nil, 30*time.Second)
	p.answer(appendAnswer(nil, r, from), 30*time.Second+160*time.Millisecond)
	if got := p.roundTrip(); got != 90*time.Millisecond {
		t.Errorf("round trip = %v, want 80 ms + an eighth of 80 ms", got)
	}
}
