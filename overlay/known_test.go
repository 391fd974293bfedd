package overlay

import (
	"bytes"
	"context"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func (s *site) lastKnown() []byte {
	s.lab.t.Helper()
	known, err := s.node.Known(context.Background())
	if err != nil {
		s.lab.t.Fatal(err)
	}
	return known
}

// A node reports what it knows when that changes, now and then, and after its end.
func TestKnownIsToldWhenItChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2)
		a, b := l.sites[0], l.sites[1]
		l.until("settled", l.settled)
		pass(10 * time.Second)
		if a.lastKnown() == nil || a.lastKnown() != nil {
			t.Error("it is told once")
		}
		b.mustClaim(contested, 1)
		l.until("seen", func() bool { return a.sees(contested, b) })
		first := a.lastKnown()
		if first == nil || a.lastKnown() != nil {
			t.Error("it is told once, since there is news")
		}
		pass(knownFresh)
		if a.lastKnown() == nil {
			t.Error("it grows old")
		}
		b.node.Withdraw(b.addrs(contested), hw(1))
		l.until("gone", func() bool { return !a.knows(contested) })
		a.stop()
		if last := a.lastKnown(); last == nil || bytes.Equal(first, last) {
			t.Error("it is told after the end, too")
		}
		a.start()
	})
}

// Of a node that begins anew with what it knew a liar gets no more than of one that went on.
func TestKnownAfterARestart(t *testing.T) {
	for name, spoil := range map[string]func([]byte) []byte{
		"whole":   func(b []byte) []byte { return b },
		"damaged": func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"huge":    func([]byte) []byte { return make([]byte, 2<<20) },
		"none":    func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, 3)
				victim, b, m := l.sites[0], l.sites[1], l.liar()
				l.until("settled", l.settled)
				victim.mustClaim(contested, 1)
				b.mustClaim("10.0.0.2", 2)
				l.until("seen", func() bool { return m.owns(victim, contested) && m.owns(b, "10.0.0.2") })
				pass(10 * time.Minute)
				b.stop()
				known := b.lastKnown()
				b.known = spoil(known)
				b.start()
				if usable := name == "whole" || name == "none"; (b.node.Forgot() == nil) != usable {
					t.Errorf("%v", b.node.Forgot())
				}
				l.until("connected again", l.settled)
				if err := b.node.Keep(t.Context(), b.addrs("10.0.0.2"), hw(2)); err != nil {
					t.Fatal(err)
				}
				for _, stolen := range []string{contested, "10.0.0.2"} {
					m.say(m.claims(highestGeneration, hw(9), stolen))
				}
				pass(5 * time.Second)
				for range 20 {
					if !victim.sees(contested, victim) || name == "whole" && (!m.owns(victim, contested) || !m.owns(b, "10.0.0.2")) {
						t.Fatal("the liar has got something")
					}
					pass(500 * time.Millisecond)
				}
				pass(time.Minute)
				if !m.owns(victim, contested) {
					t.Error("it is not the victim's for all")
				}
			})
		})
	}
}

// What the operator has given to an account is nobody else's, whoever had it first, and
// of an account that nobody knows it is nobody's.
func TestReservedAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 3)
		a, b, m := l.sites[0], l.sites[1], l.liar()
		for _, s := range []*site{a, b} {
			s.stop()
			s.claims = map[string][]netip.Prefix{
				a.jid:                {netip.MustParsePrefix("10.0.5.0/24"), netip.MustParsePrefix("fd00::5:0/112")},
				"nobody@example.net": {netip.MustParsePrefix("10.0.6.0/24")},
			}
			s.start()
		}
		m.mustClaim("10.0.5.1", 9)
		l.until("settled", l.settled)
		pass(youth)
		m.say(m.claims(highestGeneration, hw(9), "10.0.5.1", "10.0.5.2", "10.0.6.1"))
		pass(5 * time.Second)
		for _, addr := range []string{"10.0.5.1", "10.0.5.2", "10.0.6.1"} {
			if a.knows(addr) || b.knows(addr) {
				t.Errorf("the liar has %s", addr)
			}
			if err := b.claim(addr, 2); err == nil || !strings.Contains(err.Error(), "is kept for") {
				t.Errorf("%s: %v", addr, err)
			}
		}
		if err := b.claim("10.0.6.2", 2); err == nil || !strings.Contains(err.Error(), "is kept for nobody@example.net") {
			t.Errorf("what is nobody's: %v", err)
		}
		for _, addr := range []string{"10.0.5.1", "fd00::5:1"} {
			a.mustClaim(addr, 1)
			l.until("seen", func() bool { return m.owns(a, addr) })
		}
		b.mustClaim("10.0.7.1", 2)
		if told := b.log.with("keeps for another"); len(told) != 1 || !strings.Contains(told[0], m.jid) {
			t.Errorf("b logs %q", told)
		}
	})
}
