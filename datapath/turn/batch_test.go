package turn

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun/v4"

	"evio/datapath/udp"
)

var everything = udp.Offload{Send: true, Receive: true}

// boundAllocation is one with a channel to a peer, over a connection.
func boundAllocation(t *testing.T, conn net.Conn) (a *Allocation, peer netip.AddrPort) {
	t.Helper()
	c, err := newServerConn(conn, everything, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.close(ErrReleased)
		c.tasks.Wait()
	})
	peer = netip.MustParseAddrPort("192.0.2.9:4000")
	a = newAllocation(&Pool{timing: timing{}.orDefaults()}, &server{}, c)
	a.relayed = netip.MustParseAddrPort("198.51.100.1:50000")
	a.permissions[peer.Addr()] = &permission{granted: time.Now()}
	a.channels[peer] = &binding{number: minChannel, bound: time.Now()}
	a.numbers[minChannel] = peer
	return a, peer
}

// sink is a socket that takes what is sent to it, and a connection there.
func sink(t *testing.T) (at *udp.Conn, conn net.Conn) {
	t.Helper()
	plain, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	if at, err = udp.NewConn(plain, everything); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = at.Close() })
	conn, err = dial(t.Context(), UDP, plain.LocalAddr().(*net.UDPAddr).AddrPort())
	if err != nil {
		t.Fatal(err)
	}
	return at, conn
}

// someRuns returns runs and their datagrams.
func someRuns() (runs []udp.Run, datagrams [][]byte) {
	for _, r := range []struct{ size, length int }{{1200, 30*1200 + 7}, {0, 33}, {501, 3 * 501}, {1452, 10*1452 + 3}} {
		run := udp.Run{Bytes: bytes.Repeat([]byte{byte(r.size)}, r.length), Size: r.size}
		runs = append(runs, run)
		datagrams = slices.AppendSeq(datagrams, run.Datagrams())
	}
	return runs, datagrams
}

// checkChannelData compares messages with the datagrams that were sent.
func checkChannelData(t *testing.T, messages []udp.Datagram, want [][]byte) {
	t.Helper()
	if len(messages) != len(want) {
		t.Fatalf("%d messages, want %d", len(messages), len(want))
	}
	for i, m := range messages {
		if got := read(m.Data, new(stun.Message)); got.kind != channel || got.channel != minChannel || !bytes.Equal(got.payload, want[i]) {
			t.Fatalf("message %d is %x", i, m.Data)
		}
	}
}

// TestRunsByUDP: they reach the server in one piece for each size.
func TestRunsByUDP(t *testing.T) {
	at, conn := sink(t)
	a, peer := boundAllocation(t, conn)
	runs, want := someRuns()
	if sent, err := a.SendRuns(peer, runs); sent != len(want) || err != nil {
		t.Fatalf("%d of %d sent, %v", sent, len(want), err)
	}
	messages, err := at.Receive()
	if err != nil {
		t.Fatal(err)
	}
	checkChannelData(t, messages, want)
	if allocs := testing.AllocsPerRun(100, func() {
		if _, err := a.SendRuns(peer, runs); err != nil {
			t.Fatal(err)
		}
		if _, err := at.Receive(); err != nil {
			t.Fatal(err)
		}
	}); allocs != 0 {
		t.Errorf("%v allocations for %d datagrams, want none", allocs, len(want))
	}
}

// writes counts the writes of a stream.
type writes struct {
	net.Conn
	sizes chan int
}

func (w writes) Write(b []byte) (int, error) {
	w.sizes <- len(b)
	return w.Conn.Write(b)
}

// TestRunsByStream: they are one write.
func TestRunsByStream(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close() //nolint:errcheck // of a test
	w := writes{ours, make(chan int, 100)}
	a, peer := boundAllocation(t, w)
	runs, want := someRuns()
	if sent, err := a.SendRuns(peer, runs); sent != len(want) || err != nil {
		t.Fatalf("%d of %d sent, %v", sent, len(want), err)
	}
	var (
		input    stream
		messages []udp.Datagram
	)
	for len(messages) < len(want) {
		some, err := input.receive(theirs)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range some {
			messages = append(messages, udp.Datagram{Data: bytes.Clone(m.Data)})
		}
	}
	checkChannelData(t, messages, want)
	if len(w.sizes) != 1 {
		t.Errorf("%d writes, want one", len(w.sizes))
	}
}

// TestQueueOfAStreamIsBounded has a server that takes nothing: what has no room is counted.
func TestQueueOfAStreamIsBounded(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close() //nolint:errcheck // of a test
	a, peer := boundAllocation(t, ours)
	run := udp.Run{Bytes: make([]byte, 40*1400), Size: 1400}
	taken, refused := 0, 0
	for refused < 3 {
		sent, err := a.SendRuns(peer, []udp.Run{run})
		switch {
		case err == nil && sent == 40:
			if taken++; taken*len(run.Bytes) > 2*queueBytes {
				t.Fatal("the queue takes everything")
			}
		case errors.Is(err, errQueueFull) && sent == 0:
			refused++
		default:
			t.Fatalf("%d sent, %v", sent, err)
		}
	}
	if got := a.server.dropped.Load(); got != 3*40 {
		t.Errorf("%d dropped, want %d", got, 3*40)
	}
}

// TestRunsThatWaitForAPermission: a few of their datagrams are kept, and the others counted.
func TestRunsThatWaitForAPermission(t *testing.T) {
	_, conn := sink(t)
	a, peer := boundAllocation(t, conn)
	waiting := &permission{answered: make(chan struct{})}
	a.permissions[peer.Addr()] = waiting
	runs, all := someRuns()
	if sent, err := a.SendRuns(peer, runs); sent != len(all) || err != nil {
		t.Fatalf("%d of %d taken, %v", sent, len(all), err)
	}
	if got := a.server.dropped.Load(); got != uint64(len(all)-maxWaiting) || len(waiting.waiting) != maxWaiting {
		t.Errorf("%d wait and %d are dropped of %d", len(waiting.waiting), got, len(all))
	}
	if _, err := a.SendRuns(peer, []udp.Run{{Bytes: make([]byte, maxRelayed+1)}}); err != nil {
		t.Errorf("one that is too large waits as well: %v", err)
	}
	waiting.granted = time.Now()
	sent, err := a.SendRuns(peer, []udp.Run{{Bytes: make([]byte, maxRelayed+1)}})
	if sent != 0 || err == nil {
		t.Errorf("one that is too large: %d sent, %v", sent, err)
	}
}

// TestWhatComesTogetherIsDeliveredTogether: from several peers, in one buffer, without what is
// no datagram of a peer with a permission.
func TestWhatComesTogetherIsDeliveredTogether(t *testing.T) {
	_, conn := sink(t)
	a, peer := boundAllocation(t, conn)
	other := netip.MustParseAddrPort("192.0.2.10:5000")
	a.permissions[other.Addr()] = &permission{granted: time.Now()}
	var calls [][]udp.Datagram
	a.pool.config.Deliver = func(by *Allocation, batch []udp.Datagram) {
		if by != a {
			t.Error("another allocation")
		}
		calls = append(calls, slices.Clone(batch))
	}
	fromOther, err := appendIndication(nil, other, []byte("of another peer"))
	if err != nil {
		t.Fatal(err)
	}
	fromOther[1] = 0x17 // Data instead of Send
	stranger := bytes.Clone(appendChannel(nil, minChannel+1, []byte("stranger"), false))
	buffer := make([]byte, 0, 4096)
	var messages []udp.Datagram
	for _, m := range [][]byte{appendChannel(nil, minChannel, []byte("first"), false), stranger, fromOther, []byte("nonsense"), appendChannel(nil, minChannel, []byte("last"), false)} {
		buffer = append(buffer, m...)
		messages = append(messages, udp.Datagram{Data: buffer[len(buffer)-len(m):]})
	}
	(&arrivals{Allocation: a}).receive(messages, 3)
	if len(calls) != 1 || len(calls[0]) != 3 {
		t.Fatalf("delivered %v, want three at once", calls)
	}
	for i, want := range []struct {
		from netip.AddrPort
		data string
	}{{peer, "first"}, {other, "of another peer"}, {peer, "last"}} {
		d := calls[0][i]
		if d.Local != a.Addr().Addr() || d.Remote != want.from || string(d.Data) != want.data {
			t.Errorf("datagram %d is %+v", i, d)
		}
		if end := &d.Data[:cap(d.Data)][cap(d.Data)-1]; end != &buffer[:cap(buffer)][cap(buffer)-1] {
			t.Errorf("the capacity of datagram %d ends elsewhere", i)
		}
	}
	if got := a.server.dropped.Load(); got != 3+2 {
		t.Errorf("%d dropped, want the 3 that were lost, that of a stranger, and nonsense", got)
	}
}

// TestTooLargeMessagesAreCounted: whatever carries them, and even if nothing comes after them.
func TestTooLargeMessagesAreCounted(t *testing.T) {
	tooLarge := appendChannel(nil, minChannel, make([]byte, maxMessage), true)
	at, dialled := sink(t)
	if _, err := dialled.Write([]byte("here I am")); err != nil {
		t.Fatal(err)
	}
	came, err := at.Receive()
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := net.Pipe()
	defer theirs.Close() //nolint:errcheck // of a test
	for name, c := range map[string]struct {
		conn net.Conn
		send func() error
	}{
		UDP: {dialled, func() error { _, err := at.WriteToUDPAddrPort(tooLarge, came[0].Remote); return err }},
		TCP: {ours, func() error { return writeAll(theirs, tooLarge) }},
	} {
		a, _ := boundAllocation(t, c.conn)
		a.conn.tasks.Go(func() { a.conn.read((&arrivals{Allocation: a}).receive) })
		for n := range uint64(3) {
			if err := c.send(); err != nil {
				t.Fatal(err)
			}
			until(t, name+": it is counted", func() bool { return a.server.dropped.Load() == n+1 })
		}
	}
}

// TestRunsThroughAServer: datagrams of runs arrive one by one, in order, whatever carries them.
func TestRunsThroughAServer(t *testing.T) {
	for _, network := range []string{UDP, TCP} {
		t.Run(network, func(t *testing.T) {
			s := serve(t, network, nil)
			alice, bob := newClient(t, s.client()), newClient(t, s.client())
			a, b := alice.acquire(t), bob.acquire(t)
			defer a.Release()
			defer b.Release()
			for _, err := range []error{b.Permit(t.Context(), a.Addr().Addr()), a.Permit(t.Context(), b.Addr().Addr())} {
				if err != nil {
					t.Fatal(err)
				}
			}
			runs, want := someRuns()
			until(t, "the runs go by a channel", func() bool {
				a.mu.Lock()
				binding := a.channels[b.Addr()]
				bound := binding != nil && binding.usable(time.Now())
				a.mu.Unlock()
				if sent, err := a.SendRuns(b.Addr(), runs); sent != len(want) || err != nil {
					t.Fatalf("%d of %d sent, %v", sent, len(want), err)
				}
				for i := range want {
					if got := bob.await(t); got.data != string(want[i]) || got.from != a.Addr() {
						t.Fatalf("datagram %d is another", i)
					}
				}
				return bound
			})
			if got := alice.Status()[0].Dropped; got != 0 {
				t.Errorf("%d dropped", got)
			}
		})
	}
}
