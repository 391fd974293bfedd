package overlay

import (
	"context"
	"encoding/binary"
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"evio/overlay/control"
)

// deaf is a session that takes everything and answers nothing.
type deaf struct{}

func (deaf) Connect([]byte, [32]byte) error { return nil }
func (deaf) SendControl([][]byte) error     { return nil }
func (deaf) SendFlood([][]byte) error       { return nil }
func (deaf) Close()                         {}

// talker is a member with a session, and what it says.
type talker struct {
	*owner
	attempt *peerSession
	conn    *control.Conn
}

// running has a node run in a full directory, with a session to each of two members.
func running(tb testing.TB) (*Node, *talker, *talker) {
	tb.Helper()
	n := still(tb, &toldFabric{})
	join(tb, n, 1) // whom the book does not have
	ctx, cancel := context.WithCancel(tb.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.Run(ctx)
	}()
	tb.Cleanup(func() { cancel(); <-done })
	on := func(f func()) {
		ran := make(chan struct{})
		n.After(func() { f(); close(ran) })
		<-ran
	}
	for followed := false; !followed; { // the book, which has nobody
		on(func() { followed = len(n.members) == 0 })
	}
	talkers := []*talker{{}, {}}
	on(func() {
		stock(tb, n, manyKeys)
		for i, t := range talkers {
			t.owner, t.conn = join(tb, n, byte(100+i)), control.New()
			p := n.addPeer(n.members[t.id])
			t.attempt = &peerSession{node: n, peer: t.id, number: 1, control: control.New(), session: deaf{}}
			p.sessions[1], p.serving = t.attempt, t.attempt
		}
	})
	return n, talkers[0], talkers[1]
}

// say sends records in a message.
func (t *talker) say(tb testing.TB, records [][]byte) {
	tb.Helper()
	var b []byte
	for _, r := range records {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(r))), r...)
	}
	t.conn = control.New() // whose acknowledgements nobody waits for
	t.attempt.node.mail.post(from(t.id), func() { t.attempt.control = control.New() })
	frames, err := t.conn.Send(control.Announce, b, time.Now())
	if err != nil {
		tb.Fatal(err)
	}
	t.attempt.Control(frames)
}

// flip returns a record that changes the directory: a claim or a withdrawal of the same.
func (t *talker) flip(tb testing.TB) [][]byte {
	tb.Helper()
	t.next++
	mac := MAC{2, 9, t.key[0], 0, 0, byte((t.next + 1) / 2 % 200)}
	if t.next%2 == 0 {
		return t.directory.Withdraw(netip.Addr{}, mac, time.Now()).Announce
	}
	u, err := t.directory.Claim(netip.Addr{}, mac, time.Now())
	if err != nil {
		tb.Fatal(err)
	}
	return u.Announce
}

// latency returns the p99 of how long a member's record takes, from its arrival until it
// is in the table, while another says so many records in each round of 10 ms and sends
// frames that wait for the directory.
func latency(tb testing.TB, n *Node, victim, loud *talker, each int) time.Duration {
	tb.Helper()
	const rounds = 300
	took := make(chan time.Duration, rounds)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range rounds {
		<-tick.C
		for range each {
			loud.say(tb, loud.flip(tb))
			for range 10 {
				n.AfterPeer(loud.id, func() { n.Table().LookupMAC(hw(1)) })
			}
		}
		record := victim.flip(tb)
		began := time.Now()
		victim.say(tb, record)
		n.mail.post(from(victim.id), func() { took <- time.Since(began) })
	}
	all := make([]time.Duration, rounds)
	for i := range all {
		all[i] = <-took
	}
	slices.Sort(all)
	return all[rounds*99/100]
}

// 200 records a second of one member, and 2,000 frames that wait for the directory, do not
// delay what another says, and nothing is lost: best of three, in a full directory.
func BenchmarkControlBesideALoudMember(b *testing.B) {
	n, victim, loud := running(b)
	best := math.Inf(1)
	for range 3 {
		alone := latency(b, n, victim, loud, 0)
		beside := latency(b, n, victim, loud, 2)
		b.Logf("p99 %v alone, %v beside a loud member", alone, beside)
		best = min(best, float64(beside)/float64(alone))
	}
	b.ReportMetric(best, "times-p99")
	status, err := n.Status(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	if best > 2 {
		b.Errorf("%.1f times as long beside a loud member", best)
	}
	for _, cause := range []string{"peer-queue-full", "node-queue-full", "directory-limit", "directory-record", "control"} {
		if status.Drops[cause] != 0 {
			b.Errorf("%d dropped as %s", status.Drops[cause], cause)
		}
	}
}
