package udp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// pattern is a datagram of a class that no other number has.
func pattern(first byte, number, size int) []byte {
	b := bytes.Repeat([]byte{first}, size)
	if size >= 5 {
		binary.BigEndian.PutUint32(b[1:], uint32(number))
	}
	return b
}

// run joins datagrams.
func run(size int, datagrams ...[]byte) Run {
	return Run{Bytes: bytes.Join(datagrams, nil), Size: size}
}

// TestRunOfManyProtocols: the kernel merges whatever has one size and one path, and each
// datagram is one of its class all the same.
func TestRunOfManyProtocols(t *testing.T) {
	a, b := pairOf(t, everything, everything)
	stun := pattern(1, 0x2112a442, 90)
	handshake := pattern(FirstHandshake, 77, 90)
	red, blue := pattern(FirstRecord, 1001, 90), pattern(FirstRecord, 2002, 90)
	last := pattern(FirstRecord, 1001, 40)
	want := [][]byte{stun, red, handshake, blue, red, last}
	sent, err := a.SendRuns(a.Source(netip.MustParseAddr("127.0.0.1")), loopback(b, "127.0.0.1"), []Run{run(90, want...)})
	if sent != len(want) || err != nil {
		t.Fatalf("%d sent, %v", sent, err)
	}
	conn := b.conn.Load()
	vector, err := conn.Receive()
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range vector {
		if i >= len(want) || !bytes.Equal(d.Data, want[i]) {
			t.Fatalf("datagram %d is %x", i, d.Data)
		}
		if d.Remote != loopback(a, "127.0.0.1") || d.Local != netip.MustParseAddr("127.0.0.1") {
			t.Errorf("datagram %d came from %v to %v", i, d.Remote, d.Local)
		}
		if i > 0 && cap(vector[i-1].Data)-cap(d.Data) != len(vector[i-1].Data) {
			t.Errorf("datagram %d does not lie behind the one before", i)
		}
	}
	if len(vector) != len(want) {
		t.Errorf("%d datagrams in one run, want %d", len(vector), len(want))
	}
	if got := conn.counters.receives.Load(); got != 1 {
		t.Errorf("%d system calls for one run, want 1", got)
	}
	for class, want := range map[Class]uint64{STUN: 1, Handshake: 1, Record: 4} {
		if got := a.Stats().Sent[class.String()]; got != want {
			t.Errorf("%d sent of class %v, want %d", got, class, want)
		}
	}
}

// pairOf returns two sockets that have their ports and nobody who reads.
func pairOf(t *testing.T, offloadA, offloadB Offload) (a, b *Socket) {
	t.Helper()
	open := func(offload Offload) *Socket {
		s, err := New(0, offload)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Open(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	}
	return open(offloadA), open(offloadB)
}

// TestOffloadsChangeNoByte: the same datagrams arrive in the same order, whatever is left to
// the kernel, over both families and in mapped form.
func TestOffloadsChangeNoByte(t *testing.T) {
	var runs []Run
	var want []string
	for n, r := range []struct{ size, length int }{
		{1200, 40 * 1200}, {1452, 3*1452 + 1}, {5, 64*5 + 3}, {700, 700}, {0, 33}, {9, 4}, {100, 0}, {1000, 64 * 1000}, {1, 2},
	} {
		b := make([]byte, r.length)
		for i := range b {
			b[i] = byte(n + i/7)
		}
		runs = append(runs, Run{Bytes: b, Size: r.size})
		for chunk := range slices.Chunk(b, max(1, runs[n].size())) {
			want = append(want, string(chunk))
		}
	}
	for _, sending := range []bool{true, false} {
		for _, receiving := range []bool{true, false} {
			for _, addr := range []string{"127.0.0.1", "::ffff:127.0.0.1", "::1"} {
				t.Run(fmt.Sprintf("send %t, receive %t, %s", sending, receiving, addr), func(t *testing.T) {
					a, b := pairOf(t, Offload{Send: sending}, Offload{Receive: receiving})
					if got := a.Offloads().Send.On; got != sending {
						t.Errorf("offload of sending is %t", got)
					}
					if got := b.Offloads().Receive.On; got != receiving {
						t.Errorf("offload of receiving is %t", got)
					}
					to := loopback(b, addr)
					sent, err := a.SendRuns(a.Source(to.Addr()), to, runs)
					if sent != len(want) || err != nil {
						t.Fatalf("%d sent, want %d: %v", sent, len(want), err)
					}
					var got []string
					for len(got) < len(want) {
						vector, err := b.conn.Load().Receive()
						if err != nil {
							t.Fatal(err)
						}
						for _, d := range vector {
							if d.Remote != netip.AddrPortFrom(to.Addr().Unmap(), uint16(a.Port())) || d.Local != to.Addr().Unmap() {
								t.Fatalf("came from %v to %v", d.Remote, d.Local)
							}
							got = append(got, string(d.Data))
						}
					}
					if !slices.Equal(got, want) {
						t.Error("other bytes have arrived than were sent")
					}
					calls := uint64(1)
					if !sending {
						calls = (uint64(len(want)) + sendBatch - 1) / sendBatch
					}
					if got := a.Stats().SendCalls; got != calls {
						t.Errorf("%d system calls, want %d", got, calls)
					}
				})
			}
		}
	}
}

// TestSocketOfOneFamily: a host without IPv6 has a socket that takes IPv4 addresses only.
func TestSocketOfOneFamily(t *testing.T) {
	plain, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewConn(plain, everything)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // ends the test
	source, to := newSource(c.family, netip.MustParseAddr("127.0.0.1")), c.LocalAddr().(*net.UDPAddr).AddrPort()
	if sent, err := c.SendRuns(source, to, []Run{{Bytes: make([]byte, 30), Size: 10}}); sent != 3 || err != nil {
		t.Fatal(sent, err)
	}
	vector, err := c.Receive()
	if err != nil || len(vector) != 3 || vector[2].Remote != to {
		t.Errorf("got %v, %v", vector, err)
	}
	if _, err := c.SendRuns(Source{}, netip.MustParseAddrPort("[::1]:9"), []Run{{Bytes: []byte{1}}}); !errors.Is(err, unix.EAFNOSUPPORT) {
		t.Errorf("an IPv6 address: %v, want %v", err, unix.EAFNOSUPPORT)
	}
}

// TestConnectedSocket has no addresses to choose.
func TestConnectedSocket(t *testing.T) {
	_, b := pairOf(t, everything, everything)
	dialled, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(loopback(b, "127.0.0.1")))
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewConn(dialled, everything)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // ends the test
	if sent, err := c.SendRuns(Source{}, netip.AddrPort{}, []Run{{Bytes: make([]byte, 25), Size: 10}}); sent != 3 || err != nil {
		t.Fatal(sent, err)
	}
	vector, err := b.conn.Load().Receive()
	if err != nil || len(vector) != 3 || len(vector[2].Data) != 5 {
		t.Errorf("got %v, %v", vector, err)
	}
}

// TestErrorEndsTheRuns: it is about the first datagram that was not sent.
func TestErrorEndsTheRuns(t *testing.T) {
	a, b := pairOf(t, everything, everything)
	tooLarge := Run{Bytes: make([]byte, maxPayload+100)}
	good := run(3, []byte{FirstRecord, 1, 2}, []byte{FirstRecord, 1, 2})
	sent, err := a.SendRuns(Source{}, loopback(b, "127.0.0.1"), []Run{good, tooLarge, good})
	if sent != 2 || !errors.Is(err, unix.EMSGSIZE) {
		t.Errorf("%d sent, %v; want 2 and %v", sent, err, unix.EMSGSIZE)
	}
	foreign := a.Source(netip.MustParseAddr("192.0.2.77"))
	if sent, err := a.SendRuns(foreign, loopback(b, "127.0.0.1"), []Run{good}); sent != 0 || err == nil {
		t.Errorf("%d sent from an address that is not ours, %v", sent, err)
	}
	if stats := a.Stats(); stats.Sent[Record.String()] != 2 || stats.Uncut != 0 || a.Offloads().Refused != 0 {
		t.Errorf("%+v, %+v: want two records, and no refusal to cut", stats, a.Offloads())
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.SendRuns(Source{}, loopback(b, "127.0.0.1"), []Run{good}); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v, want %v", err, ErrClosed)
	}
}

// TestFullQueueIsWaitedFor has a socket that takes a few datagrams at a time.
func TestFullQueueIsWaitedFor(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ends := make([]net.Conn, 2)
	for i, fd := range fds {
		file := os.NewFile(uintptr(fd), "pair")
		ends[i], err = net.FileConn(file)
		if err = errors.Join(err, file.Close()); err != nil {
			t.Fatal(err)
		}
		defer ends[i].Close() //nolint:errcheck // ends the test
	}
	const datagrams = 5 * sendBatch
	var all [][]byte
	for i := range datagrams {
		all = append(all, pattern(FirstRecord, i, 20))
	}
	arrived := make(chan [][]byte)
	go func() {
		var got [][]byte
		buffer := make([]byte, 100)
		for len(got) < datagrams {
			n, err := ends[1].Read(buffer)
			if err != nil {
				break
			}
			got = append(got, bytes.Clone(buffer[:n]))
		}
		arrived <- got
	}()
	pair := ends[0].(*net.UnixConn)
	if err := pair.SetWriteBuffer(1); err != nil { // the kernel's least
		t.Fatal(err)
	}
	raw, err := pair.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var calls atomic.Uint64
	s := newSender(&calls)
	sent, _, err := s.send(raw, []Run{run(20, all...)}, 1)
	if sent != datagrams || err != nil {
		t.Errorf("%d sent, %v", sent, err)
	}
	if got := <-arrived; !slices.EqualFunc(got, all, bytes.Equal) {
		t.Errorf("%d arrived, or others", len(got))
	}
	if calls.Load() <= datagrams/sendBatch {
		t.Errorf("%d system calls: the queue was never full", calls.Load())
	}
}
