package overlay

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"evio/overlay/directory"
	"evio/overlay/nodeid"
	"evio/overlay/overlaytest"
)

// liar is a member that says of the directory what it likes, rightly signed. Its node
// does the rest of the protocol. It is at the third site of a lab.
type liar struct {
	*site
	sequence uint64
}

func (l *lab) liar() *liar { return &liar{site: l.sites[2]} }

const highestGeneration = 1 << 48

// claims returns the records of a claim of addresses with a MAC address, that one's
// first, in a generation.
func (m *liar) claims(generation uint64, mac MAC, addrs ...string) [][]byte {
	return m.records(generation, false, mac, addrs...)
}

// withdrawals is claims for the opposite.
func (m *liar) withdrawals(generation uint64, mac MAC, addrs ...string) [][]byte {
	return m.records(generation, true, mac, addrs...)
}

func (m *liar) records(generation uint64, withdrawn bool, mac MAC, addrs ...string) [][]byte {
	m.lab.t.Helper()
	d, err := directory.New(m.id, m.key, labOverlay, directory.Config{}, time.Now())
	if err != nil {
		m.lab.t.Fatal(err)
	}
	var all [][]byte
	note := func(u directory.Update, err error) {
		if err != nil {
			m.lab.t.Fatal(err)
		}
		if !withdrawn {
			all = append(all, u.Announce...)
		}
	}
	now := time.Now()
	for _, a := range addrs {
		note(d.Claim(netip.MustParseAddr(a), mac, now))
	}
	if len(addrs) == 0 {
		note(d.Claim(netip.Addr{}, mac, now))
	}
	if withdrawn {
		for _, a := range addrs {
			all = append(all, d.Withdraw(netip.MustParseAddr(a), mac, now).Announce...)
		}
		if len(addrs) == 0 {
			all = append(all, d.Withdraw(netip.Addr{}, mac, now).Announce...)
		}
	}
	for i := range all {
		m.sequence = max(m.sequence+1, uint64(now.UnixNano())+1)
		all[i] = overlaytest.Resign(all[i], m.key, labOverlay, generation, m.sequence)
	}
	return all
}

// say sends records to all with which it has a session.
func (m *liar) say(records [][]byte) {
	m.on(func() {
		for _, p := range m.node.peers {
			if p.serving != nil {
				m.node.announce(p.serving, records, time.Now())
			}
		}
	})
}

// reconnect ends all sessions of the liar and waits for others.
func (m *liar) reconnect() {
	m.lab.t.Helper()
	for _, s := range m.lab.sites {
		if o := m.fabric.link(s.id); o != nil {
			o.Close()
		}
	}
	pass(100 * time.Millisecond)
	m.lab.until("the liar is back", m.lab.settled)
}

// owns reports whether all but the liar see the address at owner, MAC address included.
func (m *liar) owns(owner *site, addr string) bool {
	for _, s := range m.lab.sites {
		if s != m.site && !s.sees(addr, owner) {
			return false
		}
	}
	return true
}

// watch notes the sessions of a site but with the liar, and how much it has logged.
type watch struct {
	site  *site
	with  map[nodeid.ID]Session
	lines int
}

func (m *liar) watch() []watch {
	var all []watch
	for _, s := range m.lab.sites {
		if s == m.site {
			continue
		}
		w := watch{site: s, with: map[nodeid.ID]Session{}, lines: len(s.log.with("level="))}
		for _, o := range m.lab.sites {
			if o != s && o != m.site {
				w.with[o.id] = s.fabric.link(o.id)
			}
		}
		all = append(all, w)
	}
	return all
}

// undisturbed fails the test if a session between honest nodes is another one, if a log
// has more lines than most of more than Debug, or if it blames another than the liar.
func (m *liar) undisturbed(before []watch, most int) {
	m.lab.t.Helper()
	for _, w := range before {
		for id, s := range w.with {
			if s == nil || w.site.fabric.link(id) != s {
				m.lab.t.Errorf("%s: a session with an honest node ended", w.site.jid)
			}
		}
		said := w.site.log.with("level=")[w.lines:]
		if len(said) > most {
			m.lab.t.Errorf("%s: %d lines, such as %q", w.site.jid, len(said), said[:min(4, len(said))])
		}
		for _, line := range said {
			for _, o := range m.lab.sites {
				if o != m.site && strings.Contains(line, "peer="+o.jid) {
					m.lab.t.Errorf("%s: an honest node is blamed: %s", w.site.jid, line)
				}
			}
		}
	}
}

// Neither a high generation nor new sessions, silence or a claim in the first moment of
// a session takes what another has held for long.
func TestAttackTakeoverAtNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 3)
		victim, m := l.sites[0], l.liar()
		l.until("settled", l.settled)
		victim.mustClaim(contested, 1)
		l.until("seen", func() bool { return m.owns(victim, contested) })
		pass(20 * time.Minute)
		stolen := func() [][]byte {
			return append(m.claims(highestGeneration, hw(1), contested), m.claims(highestGeneration, hw(9), contested)...)
		}
		held := func(how string) {
			t.Helper()
			for range 30 {
				if !m.owns(victim, contested) {
					t.Fatalf("it was taken %s", how)
				}
				pass(500 * time.Millisecond)
			}
			if got := victim.drop("address-lost"); got != 0 {
				t.Fatalf("%d losses %s", got, how)
			}
		}
		m.say(stolen())
		held("by a high generation")
		for range 3 {
			m.reconnect()
			m.say(stolen())
			held("by coming back")
		}
		m.stop()
		pass(10 * time.Second)
		m.start()
		l.until("the liar has begun anew", l.settled)
		m.say(stolen())
		held("by a new life")
		pass(2 * time.Hour)
		held("in time")
	})
}

// Whoever takes and gives up another's addresses as fast as it may ends no session
// between others, and fills no log.
func TestAttackLimitAgainstVictim(t *testing.T) {
	for _, n := range []int{1, 2, 8} {
		t.Run(fmt.Sprintf("%d addresses", n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, 3)
				victim, m := l.sites[0], l.liar()
				var addrs []string
				for i := range n {
					addrs = append(addrs, address(i))
					victim.mustClaim(address(i), 1)
				}
				l.until("settled", func() bool { return l.settled() && m.owns(victim, addrs[0]) })
				pass(time.Second)
				before := m.watch()
				for began := time.Now(); time.Since(began) < time.Minute; {
					generation := uint64(1000 + time.Since(began).Milliseconds())
					m.say(m.claims(generation, hw(1)))
					pass(6 * time.Millisecond)
					m.say(m.withdrawals(generation, hw(1)))
					pass(6 * time.Millisecond)
				}
				m.undisturbed(before, n+6) // in the first minute it may take them, which is a line each
				pass(5 * time.Second)
				for _, a := range addrs {
					if !m.owns(victim, a) {
						t.Errorf("%s is not the victim's", a)
					}
				}
			})
		})
	}
}

// Who claims all addresses there are, with as many MAC addresses as it likes, leaves the
// ranges of others to them, and names itself once.
func TestAttackSquat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 3)
		a, b, m := l.sites[0], l.sites[1], l.liar()
		a.has("10.0.0.0/16")
		l.until("settled", l.settled)
		a.node.HandOut([]netip.Prefix{netip.MustParsePrefix("10.0.1.0/24")})
		b.node.HandOut([]netip.Prefix{netip.MustParsePrefix("10.0.2.0/24")})
		pass(time.Second)
		before := m.watch()
		for subnet := 1; subnet <= 2; subnet++ {
			for i := range 256 {
				mac := MAC{2, 0xbb, 0, byte(subnet), 0, byte(i)}
				addr := fmt.Sprintf("10.0.%d.%d", subnet, i)
				m.say(m.claims(highestGeneration, mac, addr))
				m.say(m.claims(1, mac, addr))
			}
		}
		pass(5 * time.Second)
		for i := 1; i < 250; i += 7 {
			for n, s := range []*site{a, b} {
				addr := fmt.Sprintf("10.0.%d.%d", n+1, i)
				if err := s.claim(addr, byte(2*i+n)); err != nil {
					t.Fatalf("%s: %v", addr, err)
				}
				if l.within(5*time.Second, func() bool { return m.owns(s, addr) }); !m.owns(s, addr) {
					t.Fatalf("%s is not at %s for all", addr, s.jid)
				}
			}
		}
		m.undisturbed(before, 6)
	})
}

// A hundred lies a second are not a hundred lines.
func TestAttackLogFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 3)
		victim, m := l.sites[0], l.liar()
		victim.mustClaim(contested, 1)
		l.until("settled", func() bool { return l.settled() && m.owns(victim, contested) })
		pass(youth)
		before := m.watch()
		for i := range 6000 {
			generation := uint64(i + 10)
			m.say([][]byte{m.claims(generation, hw(9), contested)[1-i%2]})
			if i%3 == 0 {
				m.say(m.withdrawals(generation, hw(9), contested)[:1])
			}
			pass(10 * time.Millisecond)
		}
		m.undisturbed(before, 6)
		if named := len(victim.log.with("it claims what this engine has")); named != 1 {
			t.Errorf("it is named %d times", named)
		}
	})
}

// Who takes over an address because its holder is out of its reach is not blamed, though
// others reach both, nor when the two meet again.
func TestHonestFailoverIsNotBlamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 3)
		a, c := l.sites[0], l.sites[2]
		l.until("settled", l.settled)
		a.mustClaim(contested, 1)
		l.until("seen", func() bool { return c.sees(contested, a) })
		for range 2 {
			pass(2 * time.Minute)
			l.wire.setCut(a.id, c.id, true)
			l.until("a is dead for c", func() bool { return c.claim(contested, 3) == nil })
			pass(2 * time.Minute)
			l.wire.setCut(a.id, c.id, false)
			l.until("connected", l.connected)
			pass(2 * time.Minute)
			c.node.Withdraw(c.addrs(contested), hw(3))
			l.until("a's again", func() bool { return a.sees(contested, a) && c.sees(contested, a) })
		}
		for _, s := range l.sites {
			if blamed := s.log.with("it claims what"); len(blamed) != 0 {
				t.Errorf("%s: %q", s.jid, blamed)
			}
		}
	})
}
