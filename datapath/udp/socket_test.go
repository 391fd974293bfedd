package udp

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const patience = 10 * time.Second

// everything is left to the kernel.
var everything = Offload{Send: true, Receive: true}

// delivered is a datagram with a memory of its own.
type delivered struct {
	local  netip.Addr
	remote netip.AddrPort
	data   string
}

// bound returns a socket that has its port.
func bound(port int) (*Socket, error) {
	s, err := New(port, everything)
	if err != nil {
		return nil, err
	}
	return s, s.Open()
}

// listen runs a socket until the test ends.
func listen(t *testing.T) (*Socket, <-chan delivered) {
	t.Helper()
	s, err := bound(0)
	if err != nil {
		t.Fatal(err)
	}
	arrived := make(chan delivered, 64)
	ended := make(chan error, 1)
	go func() {
		ended <- s.Run(func(batch []Datagram) {
			for _, d := range batch {
				arrived <- delivered{d.Local, d.Remote, string(d.Data)}
			}
		}, func(err error) { t.Errorf("socket: %v", err) })
	}()
	t.Cleanup(func() {
		for range 2 {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := <-ended; !errors.Is(err, ErrClosed) {
			t.Errorf("Run ended with %v, want %v", err, ErrClosed)
		}
		if err := s.Send(Source{}, loopback(s, "127.0.0.1"), []byte{FirstRecord}); !errors.Is(err, ErrClosed) {
			t.Errorf("Send after Close: %v, want %v", err, ErrClosed)
		}
	})
	return s, arrived
}

func loopback(s *Socket, addr string) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(addr), uint16(s.Port()))
}

func receive(t *testing.T, c <-chan delivered) delivered {
	t.Helper()
	select {
	case d := <-c:
		return d
	case <-time.After(patience):
		t.Fatal("nothing arrived")
		panic("unreachable")
	}
}

func TestPathIsLocalAndRemoteAddress(t *testing.T) {
	a, _ := listen(t)
	b, arrived := listen(t)
	for _, test := range []struct{ source, destination string }{
		{"127.0.0.1", "127.0.0.1"},
		{"127.0.0.2", "127.0.0.1"},
		{"127.0.0.1", "127.0.0.3"},
		{"127.1.2.3", "127.3.2.1"},
		{"::1", "::1"},
	} {
		t.Run(fmt.Sprintf("%s to %s", test.source, test.destination), func(t *testing.T) {
			source := netip.MustParseAddr(test.source)
			if err := a.Send(a.Source(source), loopback(b, test.destination), []byte{FirstRecord}); err != nil {
				t.Fatal(err)
			}
			got := receive(t, arrived)
			want := delivered{netip.MustParseAddr(test.destination), loopback(a, test.source), "\xc1"}
			if got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestKernelChoosesWithoutSource(t *testing.T) {
	a, _ := listen(t)
	b, arrived := listen(t)
	if err := a.Send(a.Source(netip.Addr{}), loopback(b, "127.0.0.1"), []byte{0}); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, arrived).remote; got != loopback(a, "127.0.0.1") {
		t.Errorf("came from %v, want %v", got, loopback(a, "127.0.0.1"))
	}
}

func TestForeignSourceIsRefused(t *testing.T) {
	a, _ := listen(t)
	b, _ := listen(t)
	foreign := netip.MustParseAddr("192.0.2.77")
	if err := a.Send(a.Source(foreign), loopback(b, "127.0.0.1"), []byte{0}); err == nil {
		t.Error("a datagram left with an address that is not ours")
	}
}

func TestStatsCountByClassAndTruncation(t *testing.T) {
	a, _ := listen(t)
	b, arrived := listen(t)
	source := a.Source(netip.MustParseAddr("127.0.0.1"))
	for _, d := range [][]byte{
		make([]byte, MaxDatagram+1), {FirstRecord}, {FirstRecord, 2}, {FirstHandshake}, {0, 1}, {22}, make([]byte, MaxDatagram),
	} {
		if err := a.Send(source, loopback(b, "127.0.0.1"), d); err != nil {
			t.Fatal(err)
		}
	}
	for range 6 {
		receive(t, arrived)
	}
	stats := b.Stats()
	if stats.Truncated != 1 {
		t.Errorf("%d truncated, want 1", stats.Truncated)
	}
	for class, want := range map[Class]uint64{Record: 2, Handshake: 1, STUN: 2, Unknown: 1} {
		if got := stats.Received[class.String()]; got != want {
			t.Errorf("received %d of class %v, want %d", got, class, want)
		}
	}
	if got := a.Stats().Sent[Record.String()]; got != 2 {
		t.Errorf("sent %d records, want 2", got)
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	s, _ := listen(t)
	for _, port := range []int{-1, 65536, s.Port()} {
		if other, err := bound(port); err == nil {
			t.Errorf("port %d was given twice or does not exist", port)
			_ = other.Close()
		}
	}
}

func TestSourceControlMessages(t *testing.T) {
	for _, test := range []struct {
		family int
		addr   string
	}{
		{unix.AF_INET6, "192.0.2.1"}, {unix.AF_INET6, "2001:db8::1"}, {unix.AF_INET, "192.0.2.1"},
	} {
		source := newSource(test.family, netip.MustParseAddr(test.addr))
		control := bytes.Clone(source.control)
		if test.family == unix.AF_INET {
			copy(control[unix.CmsgLen(0)+8:], control[unix.CmsgLen(0)+4:unix.CmsgLen(0)+8]) // as the kernel reports it
		}
		if got, _, _ := readControl(control); got != source.Addr {
			t.Errorf("family %d: %v became %v", test.family, source.Addr, got)
		}
	}
	if s := newSource(unix.AF_INET, netip.MustParseAddr("2001:db8::1")); s.control != nil {
		t.Error("an IPv6 address has a control message on an IPv4 socket")
	}
	if s := newSource(unix.AF_INET6, netip.MustParseAddr("::")); s.control != nil || s.Addr.IsValid() {
		t.Error("the unspecified address is a source")
	}
}

func TestClassify(t *testing.T) {
	for first, want := range map[byte]Class{
		0: STUN, 3: STUN, 4: Unknown, 20: Unknown, 22: Unknown, 63: Unknown, 64: Unknown, 128: Unknown, 191: Unknown,
		192: Handshake, 193: Record, 194: Unknown, 255: Unknown,
	} {
		if got := Classify([]byte{first}); got != want {
			t.Errorf("first byte %d: %v, want %v", first, got, want)
		}
	}
	if got := Classify(nil); got != Unknown {
		t.Errorf("empty datagram: %v, want unknown", got)
	}
	if got := Classes.String(); got != "unknown" {
		t.Errorf("no class is named %q", got)
	}
}

func TestSendAndReceiveDoNotAllocate(t *testing.T) {
	s, err := bound(0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // ends the test
	source, conn := s.Source(netip.MustParseAddr("127.0.0.1")), s.conn.Load()
	datagram, runs := []byte{FirstRecord, 1, 2, 3}, []Run{{Bytes: make([]byte, 40*1200), Size: 1200}, {Bytes: make([]byte, 10)}}
	for _, to := range []netip.AddrPort{loopback(s, "127.0.0.1"), loopback(s, "::1")} {
		if to.Addr().Is6() {
			source = s.Source(to.Addr())
		}
		if allocs := testing.AllocsPerRun(100, func() {
			if err := s.Send(source, to, datagram); err != nil {
				t.Fatal(err)
			}
			if sent, err := s.SendRuns(source, to, runs); sent != 41 || err != nil {
				t.Fatal(sent, err)
			}
			for got := 0; got < 42; {
				vector, err := conn.Receive()
				if err != nil {
					t.Fatal(err)
				}
				got += len(vector)
			}
		}); allocs != 0 {
			t.Errorf("to %v: %v allocations for 42 datagrams sent and received, want none", to, allocs)
		}
	}
}
