package overlay

import (
	"testing"
	"testing/synctest"
	"time"
)

// A site gets another address. Its sessions die after 3 s, at both ends; its
// connection to the signalling server is dead too, which neither end knows, and has
// another full JID when it is found out. All of it takes at most 10 s; real sessions
// need up to 2 s more than those here.
func TestSiteThatChangedItsAddressIsBackInTime(t *testing.T) {
	for name, c := range map[string]struct {
		stalled bool // the connection to the server as well
		lost    int  // first messages between each two connections
		most    time.Duration
	}{
		"sessions only":                         {false, 0, 4500 * time.Millisecond},
		"sessions, and two messages are lost":   {false, 2, 7 * time.Second},
		"signalling too":                        {true, 0, 7 * time.Second},
		"signalling too, and a message is lost": {true, 1, 8 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, 4)
				a := l.sites[0]
				l.until("settled", l.settled)
				pass(15 * time.Second)
				began := time.Now()
				if c.stalled {
					a.account.Stall()
				}
				l.wire.renumber(a.id)
				lost := map[string]int{}
				l.server.Intercept(func(from, to string, _ []byte) bool {
					lost[from+to]++
					return lost[from+to] > c.lost
				})
				l.until("the sessions end", func() bool { return a.fabric.links() == 0 })
				l.until("connected", l.connected)
				if took := time.Since(began); took > c.most {
					t.Errorf("connected again after %v, at most %v is allowed", took, c.most)
				}
				f := frameOf(hw(1), 1)
				a.node.Flood(f)
				pass(time.Second)
				for _, s := range l.sites[1:] {
					if s.fabric.count(f) != 1 {
						t.Errorf("%s has the first flood %d times", s.jid, s.fabric.count(f))
					}
				}
			})
		})
	}
}

// A container restarts while the path to another site is cut, not for so long that the
// session dies. That site learns late that the addresses were given up and taken again,
// and knows them all the time: otherwise frames that arrived when the path was open again
// would be lost a moment later.
func TestContainerRestartedDuringACutStaysKnown(t *testing.T) {
	for cut := 500 * time.Millisecond; cut < wireDead; cut += 100 * time.Millisecond {
		t.Run(cut.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, 2)
				a, b := l.sites[0], l.sites[1]
				l.until("settled", l.settled)
				a.mustClaim("10.0.1.1", 1)
				pass(15 * time.Second)
				session := b.fabric.link(a.id)
				l.wire.setCut(a.id, b.id, true)
				a.node.Withdraw(a.addrs("10.0.1.1"), hw(1))
				pass(300 * time.Millisecond)
				a.mustClaim("10.0.1.1", 1)
				pass(cut - 300*time.Millisecond)
				l.wire.setCut(a.id, b.id, false)
				for began := time.Now(); time.Since(began) < 6*time.Second; pass(5 * time.Millisecond) {
					if !b.sees("10.0.1.1", a) {
						t.Fatalf("%v after the way was open the address is nobody's", time.Since(began))
					}
				}
				a.mustClaim("10.0.1.2", 2)
				l.until("all is told", func() bool { return b.sees("10.0.1.2", a) })
				if b.fabric.link(a.id) != session {
					t.Error("the session was replaced, so this test proves nothing")
				}
			})
		})
	}
}

// Members that are seen online and do not answer put the signalling service in doubt,
// so a dead connection to it is found out without any session.
func TestSilencePutsSignallingInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2)
		l.server.Intercept(func(string, string, []byte) bool { return false })
		pass(30 * time.Second)
		l.server.Intercept(nil)
		l.sites[0].account.Stall()
		if !l.within(time.Minute, l.connected) {
			t.Error("not connected after a minute")
		}
	})
}
