package overlay

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const contested = "10.0.0.7"

// conflicts returns what other nodes hold of this site's addresses.
func (s *site) conflicts() []Conflict { return s.status().Conflicts }

// steady advances time until ok holds and fails if always does not, meanwhile.
func (l *lab) steady(what string, always, ok func() bool) {
	l.t.Helper()
	l.until(what, func() bool {
		if !always() {
			l.t.Fatalf("disturbed before: %s", what)
		}
		return ok()
	})
}

// One claims an address while its holder is out of reach, for longer than a claim holds.
// Afterwards the new holder keeps it, and nobody who talked to that one notices; the other
// one tells its operator, and takes the address when it is free, whichever way that
// happens.
func TestConflictMadeDuringAPartition(t *testing.T) {
	for name, c := range map[string]struct {
		macs  [2]byte // of the container that had the address, and of the one that got it
		leave func(l *lab, winner *site)
	}{
		"the winner withdraws":   {[2]byte{1, 2}, func(_ *lab, w *site) { w.node.Withdraw(w.addrs(contested), hw(2)) }},
		"the winner dies":        {[2]byte{1, 2}, func(_ *lab, w *site) { w.stop() }},
		"one MAC address":        {[2]byte{1, 1}, func(_ *lab, w *site) { w.node.Withdraw(w.addrs(contested), hw(1)) }},
		"one MAC address, death": {[2]byte{1, 1}, func(_ *lab, w *site) { w.stop() }},
		"the winner is removed": {[2]byte{1, 2}, func(l *lab, w *site) {
			l.server.Remove(w.jid)
			l.sites = l.sites[:len(l.sites)-1]
			l.t.Cleanup(func() { w.stop(); w.account.Close() })
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, 3)
				a, third, b := l.sites[0], l.sites[1], l.sites[2]
				l.until("connected", l.connected)
				a.mustClaim(contested, c.macs[0])
				l.until("seen", func() bool { return b.sees(contested, a) && third.sees(contested, a) })
				pass(time.Minute)
				for _, other := range []*site{b, third} {
					l.wire.setCut(a.id, other.id, true)
				}
				l.until("a is dead for the others", func() bool { return b.claim(contested, c.macs[1]) == nil })
				l.until("seen by the third", func() bool { return third.sees(contested, b) })
				pass(31 * time.Minute)
				for _, other := range []*site{b, third} {
					l.wire.setCut(a.id, other.id, false)
				}
				undisturbed := func() bool {
					return b.sees(contested, b) && third.sees(contested, b) && len(b.conflicts()) == 0
				}
				l.steady("a has given way", undisturbed, func() bool { return a.sees(contested, b) && len(a.conflicts()) == 1 })
				want := Conflict{
					Addr: netip.MustParseAddr(contested), MAC: hw(c.macs[0]), Node: b.id, JID: b.jid, Site: b.place, Since: a.conflicts()[0].Since,
				}
				if got := a.conflicts()[0]; got != want || time.Since(got.Since) > time.Minute {
					t.Errorf("shown %+v, want %+v", got, want)
				}
				end := time.Now().Add(5 * time.Second)
				l.steady("five seconds are over", undisturbed, func() bool { return time.Now().After(end) })
				told := a.log.with(contested + " with MAC address")
				if len(told) != 1 || !strings.Contains(told[0], b.jid) || !strings.Contains(told[0], b.place) || a.drop("address-lost") != 1 {
					t.Errorf("%d losses, logged %q", a.drop("address-lost"), told)
				}

				for _, s := range l.sites {
					if blamed := s.log.with("it claims what"); len(blamed) != 0 {
						t.Errorf("%s blames an honest one: %q", s.jid, blamed)
					}
				}

				c.leave(l, b)
				l.until("a has it again", func() bool { return a.sees(contested, a) && third.sees(contested, a) })
				pass(keyPause)
				if len(a.conflicts()) != 0 || len(a.log.with(contested+" is this engine's again")) != 1 {
					t.Errorf("conflicts %+v, logged %q", a.conflicts(), a.log.with("again"))
				}
			})
		})
	}
}

// What was taken while its holder was out of reach for a while goes back to it.
func TestAddressGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 3)
		a, third, b := l.sites[0], l.sites[1], l.sites[2]
		l.until("connected", l.connected)
		a.mustClaim(contested, 1)
		l.until("seen", func() bool { return b.sees(contested, a) && third.sees(contested, a) })
		pass(time.Minute)
		for _, other := range []*site{b, third} {
			l.wire.setCut(a.id, other.id, true)
		}
		l.until("a is dead for the others", func() bool { return b.claim(contested, 2) == nil })
		l.until("seen by the third", func() bool { return third.sees(contested, b) })
		pass(10 * time.Minute)
		for _, other := range []*site{b, third} {
			l.wire.setCut(a.id, other.id, false)
		}
		l.steady("b has given it back", func() bool { return a.sees(contested, a) && len(a.conflicts()) == 0 },
			func() bool { return third.sees(contested, a) && b.sees(contested, a) && len(b.conflicts()) == 1 })
	})
}

// Two sites that claim at one moment end with one owner, which keeps the address.
func TestClaimAtTheSameMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 3)
		a, b, third := l.sites[0], l.sites[1], l.sites[2]
		l.until("connected", l.connected)
		for _, s := range []*site{a, b} {
			if err := s.node.Check(t.Context(), s.addrs(contested), hw(1)); err != nil {
				t.Fatal(err)
			}
		}
		a.mustClaim(contested, 1)
		b.mustClaim(contested, 2)
		l.until("one has given way", func() bool { return len(a.conflicts())+len(b.conflicts()) == 1 })
		winner, loser := a, b
		if len(a.conflicts()) == 1 {
			winner, loser = b, a
		}
		l.until("all follow", func() bool { return loser.sees(contested, winner) && third.sees(contested, winner) })
		end := time.Now().Add(10 * time.Second)
		l.steady("ten seconds are over", func() bool { return winner.sees(contested, winner) && third.sees(contested, winner) },
			func() bool { return time.Now().After(end) })
		if n := winner.drop("address-lost"); n != 0 || loser.drop("address-lost") != 1 {
			t.Errorf("the winner lost %d, the loser %d", n, loser.drop("address-lost"))
		}
	})
}

func TestCheckNamesAccountAndSite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2)
		a, b := l.sites[0], l.sites[1]
		l.until("connected", l.connected)
		if err := b.node.Check(t.Context(), b.addrs(contested, "fd00::7"), hw(1)); err != nil {
			t.Error(err)
		}
		if b.knows(contested) {
			t.Error("a question has claimed something")
		}
		a.mustClaim(contested, 1)
		a.mustClaim("fd00::7", 1)
		l.until("seen", func() bool { return b.sees(contested, a) && b.sees("fd00::7", a) })
		for what, err := range map[string]error{
			"address " + contested:         b.node.Check(t.Context(), b.addrs(contested), hw(1)), // one MAC address, too
			"address fd00::7":              b.node.Check(t.Context(), b.addrs("10.0.0.8", "fd00::7"), hw(2)),
			"MAC address " + hwText(hw(1)): b.node.Check(t.Context(), b.addrs("10.0.0.8"), hw(1)),
		} {
			if err == nil || !strings.HasPrefix(err.Error(), what+" belongs to "+a.jid+" at site "+a.place+":") {
				t.Errorf("%s: %v", what, err)
			}
		}
		if err := a.node.Check(t.Context(), a.addrs(contested), hw(1)); err != nil {
			t.Errorf("what is its own: %v", err)
		}
	})
}

// A container that runs keeps its place behind the owner of its address.
func TestKeepWhatAnotherHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2)
		a, b := l.sites[0], l.sites[1]
		l.until("connected", l.connected)
		a.mustClaim(contested, 1)
		l.until("seen", func() bool { return b.sees(contested, a) })
		for range 2 { // the second time is no news
			if err := b.node.Keep(t.Context(), b.addrs(contested, "10.0.0.8"), hw(2)); err != nil {
				t.Fatal(err)
			}
		}
		l.until("the other address is announced", func() bool { return a.sees("10.0.0.8", b) })
		if got := b.conflicts(); len(got) != 1 || got[0].Node != a.id || b.drop("address-lost") != 1 || !b.sees(contested, a) {
			t.Errorf("conflicts %+v, %d losses", got, b.drop("address-lost"))
		}
		a.node.Withdraw(a.addrs(contested), hw(1))
		l.until("it is taken over", func() bool { return a.sees(contested, b) && len(b.conflicts()) == 0 })
		b.node.Withdraw(b.addrs(contested, "10.0.0.8"), hw(2))
		l.until("it is free", func() bool { return !a.knows(contested) && !a.knows("10.0.0.8") })
	})
}
