package overlay

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"evio/overlay/control"
	"evio/overlay/directory"
)

func FuzzSplitRecords(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0})
	f.Add([]byte{0, 0})
	f.Add([]byte{0, 1, 7, 0, 2, 8, 9})
	f.Add([]byte{0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		records, err := splitRecords(b)
		if err != nil {
			if records != nil {
				t.Error("records beside an error")
			}
			return
		}
		var back []byte
		for _, r := range records {
			back = binary.BigEndian.AppendUint16(back, uint16(len(r)))
			back = append(back, r...)
		}
		if !bytes.Equal(back, b) {
			t.Errorf("%x became %x", b, back)
		}
	})
}

// on runs f on the site's node and waits for it.
func (s *site) on(f func()) {
	s.lab.t.Helper()
	done := make(chan struct{})
	if !s.node.After(func() { defer close(done); f() }) {
		s.lab.t.Fatal("the node takes no work")
	}
	<-done
}

// signs makes records as the site does, from a directory of its own.
func (s *site) signs(n int) [][]byte {
	s.lab.t.Helper()
	d, err := directory.New(s.id, s.key, labOverlay, directory.Config{}, time.Now())
	if err != nil {
		s.lab.t.Fatal(err)
	}
	var records [][]byte
	for i := range n {
		u, err := d.Claim(netip.MustParseAddr(address(i)), hw(byte(i)), time.Now())
		if err != nil {
			s.lab.t.Fatal(err)
		}
		records = append(records, u.Announce...)
	}
	return records
}

// However many records come in a message, and messages while the node is busy, the
// directory is shown once.
func TestManyRecordsAreShownOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2)
		a, b := l.sites[0], l.sites[1]
		l.until("settled", l.settled)
		records := b.signs(31)
		if size := len(bytes.Join(records, []byte{0, 0})) + 2; size > control.MaxPayload {
			t.Fatalf("%d bytes are more than one message", size)
		}
		shown := a.fabric.shown()
		b.on(func() { b.node.announce(b.node.peers[a.id].serving, records, time.Now()) })
		l.until("seen", func() bool { return a.sees(address(30), b) })
		if got := a.fabric.shown() - shown; got != 1 {
			t.Errorf("shown %d times for one message", got)
		}

		shown = a.fabric.shown()
		hold := make(chan struct{})
		a.node.After(func() { <-hold })
		synctest.Wait()
		for i := range 5 {
			b.mustClaim(fmt.Sprintf("10.0.2.%d", i), byte(100+i))
			pass(time.Second)
		}
		close(hold)
		l.until("all seen", func() bool { return a.sees("10.0.2.4", b) })
		if got := a.fabric.shown() - shown; got != 1 {
			t.Errorf("shown %d times for messages that waited together", got)
		}
	})
}

// What looks at the table behind an announcement sees what it said.
func TestTableIsCurrentBehindAnAnnouncement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2)
		a, b := l.sites[0], l.sites[1]
		l.until("settled", l.settled)
		hold, seen := make(chan struct{}), make(chan bool, 1)
		a.node.After(func() { <-hold })
		synctest.Wait()
		b.mustClaim("10.0.0.2", 2)
		pass(time.Second)
		a.node.After(func() { seen <- a.sees("10.0.0.2", b) })
		close(hold)
		if !<-seen {
			t.Error("the table is older than what was announced before")
		}
	})
}

// All that a node may claim passes, in each of its sessions.
func TestAllOfANodesClaimsPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2)
		a, b := l.sites[0], l.sites[1]
		b.on(func() {
			for i := range directory.MaxClaims / 2 {
				addr := netip.AddrFrom4([4]byte{10, 2, byte(i >> 8), byte(i)})
				if err := b.node.claim([]netip.Addr{addr}, MAC{2, 0, 0, 0, byte(i >> 8), byte(i)}, time.Now()); err != nil {
					t.Error(err)
				}
			}
		})
		all := func() bool { return len(a.node.Table().Entries()) == directory.MaxClaims }
		l.until("all are known", all)
		for range 2 {
			l.wire.setCut(a.id, b.id, true)
			l.until("down", func() bool { return a.fabric.links()+b.fabric.links() == 0 })
			l.wire.setCut(a.id, b.id, false)
			l.until("up again", l.connected)
			pass(time.Second)
		}
		if !all() || a.drop("directory-limit")+a.drop("directory-record") != 0 {
			t.Errorf("%d entries, drops %v", len(a.node.Table().Entries()), a.status().Drops)
		}
	})
}

// A peer that has had its share of signature checks keeps its session, and is asked for
// all again when it may say that.
func TestTooManyRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2)
		a, b := l.sites[0], l.sites[1]
		b.mustClaim("10.0.0.2", 2)
		l.until("settled", func() bool { return l.settled() && a.sees("10.0.0.2", b) })
		pass(15 * time.Second)
		session := a.fabric.link(b.id)
		a.on(func() {
			p := a.node.peers[b.id]
			p.records.ReserveN(time.Now(), recordBurst)
			p.records.ReserveN(time.Now(), 50) // more than it had
		})
		b.mustClaim("10.0.0.3", 3)
		pass(time.Second)
		if got := a.drop("directory-limit"); got == 0 {
			t.Error("not counted")
		}
		l.until("it said all", func() bool { return a.sees("10.0.0.2", b) && a.sees("10.0.0.3", b) })
		if a.fabric.link(b.id) != session {
			t.Error("the session ended")
		}
		if told := a.log.with("to be asked for again"); len(told) != 1 {
			t.Errorf("logged %q", told)
		}
	})
}

// A peer that asks for everything again without end gets it every few seconds.
func TestAskedForAllAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2)
		a, b := l.sites[0], l.sites[1]
		a.mustClaim("10.0.0.1", 1)
		l.until("settled", func() bool { return l.settled() && b.sees("10.0.0.1", a) })
		pass(time.Minute)
		var before, after uint64
		b.on(func() { before = b.node.directory.Stats().Repeated })
		for range 200 {
			b.on(func() { b.node.peers[a.id].serving.tell(control.Resync, nil, time.Now()) })
			pass(50 * time.Millisecond)
		}
		pass(resyncPause)
		b.on(func() { after = b.node.directory.Stats().Repeated })
		if told := (after - before) / 2; told < 2 || told > 4 {
			t.Errorf("told %d times in 10 s, 2 records each", told)
		}
	})
}

// Forged records use the share up, known ones do not.
func TestOnlyCheckedRecordsCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2)
		a, b := l.sites[0], l.sites[1]
		l.until("settled", l.settled)
		good := b.signs(1)
		forged := bytes.Clone(good[0])
		forged[len(forged)-1] ^= 1
		binary.BigEndian.PutUint64(forged[26:], uint64(time.Now().Add(time.Hour).UnixNano()))
		for _, c := range []struct {
			name   string
			record []byte
			cost   float64
		}{{"new", good[0], 1}, {"repeated", good[0], 0}, {"forged", forged, 1}, {"malformed", []byte{1}, 0}} {
			if got := a.cost(b, c.record); got != c.cost {
				t.Errorf("%s: %v tokens, want %v", c.name, got, c.cost)
			}
		}
	})
}

// cost lets a peer announce a record and returns what that takes of its share.
func (s *site) cost(peer *site, record []byte) (taken float64) {
	s.on(func() {
		p := s.node.peers[peer.id]
		now := time.Now()
		before := p.records.TokensAt(now)
		message := append(binary.BigEndian.AppendUint16(nil, uint16(len(record))), record...)
		s.node.announced(p, p.serving, message, now)
		taken = before - p.records.TokensAt(now)
	})
	return taken
}
