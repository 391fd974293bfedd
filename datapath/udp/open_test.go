package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// runChanging runs a socket and returns what it tells of itself and what arrives.
func runChanging(t *testing.T, s *Socket) (changes <-chan error, arrived <-chan delivered) {
	t.Helper()
	told, got, ended := make(chan error, 64), make(chan delivered, 64), make(chan error, 1)
	go func() {
		ended <- s.Run(func(batch []Datagram) {
			for _, d := range batch {
				got <- delivered{d.Local, d.Remote, string(d.Data)}
			}
		}, func(err error) { told <- err })
	}()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, ErrClosed) {
			t.Errorf("Run ended with %v, want %v", err, ErrClosed)
		}
	})
	return told, got
}

func change(t *testing.T, changes <-chan error) error {
	t.Helper()
	select {
	case err := <-changes:
		return err
	case <-time.After(patience):
		t.Fatal("the socket tells nothing")
		panic("unreachable")
	}
}

// TestTakenPortIsAskedForAgain: one that another socket has on a single address is had when
// that one is closed. Meanwhile it is said whose it is.
func TestTakenPortIsAskedForAgain(t *testing.T) {
	holder, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := holder.LocalAddr().(*net.UDPAddr).Port
	s, err := New(port, everything)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Open(); !errors.Is(err, unix.EADDRINUSE) {
		t.Fatalf("open: %v, want %v", err, unix.EADDRINUSE)
	}
	changes, arrived := runChanging(t, s)
	fault := change(t, changes)
	want := fmt.Sprintf("a process of user ID %d has it at 127.0.0.1:%d", os.Getuid(), port)
	if !errors.Is(fault, unix.EADDRINUSE) || !strings.Contains(fault.Error(), want) || !strings.Contains(fault.Error(), "udp_port") {
		t.Errorf("%v does not say %q and what to do", fault, want)
	}
	if err := s.Send(Source{}, loopback(s, "127.0.0.1"), []byte{FirstRecord}); !errors.Is(err, ErrNotOpen) {
		t.Errorf("send: %v, want %v", err, ErrNotOpen)
	}
	if s.Port() != port {
		t.Errorf("port %d, want the one that is asked for, %d", s.Port(), port)
	}
	if err := holder.Close(); err != nil {
		t.Fatal(err)
	}
	if err := change(t, changes); err != nil {
		t.Fatalf("the port is free: %v", err)
	}
	if err := s.Send(Source{}, loopback(s, "127.0.0.1"), []byte{FirstRecord}); err != nil {
		t.Fatal(err)
	}
	receive(t, arrived)
}

// TestFailedSocketIsOpenedAnew: at the port that it had, even where any was asked for.
func TestFailedSocketIsOpenedAnew(t *testing.T) {
	s, err := bound(0)
	if err != nil {
		t.Fatal(err)
	}
	port := s.Port()
	changes, arrived := runChanging(t, s)
	for round := range 3 {
		_ = s.conn.Load().Close() // as by an error that nobody knows
		if err := change(t, changes); err == nil || !strings.Contains(err.Error(), fmt.Sprint(port)) {
			t.Fatalf("the socket has failed: %v", err)
		}
		if err := change(t, changes); err != nil {
			t.Fatalf("opened anew: %v", err)
		}
		if s.Port() != port {
			t.Fatalf("port %d, want %d as before", s.Port(), port)
		}
		if err := s.Send(Source{}, loopback(s, "127.0.0.1"), []byte{FirstRecord}); err != nil {
			t.Fatal(err)
		}
		receive(t, arrived)
		if got := s.Stats().Received[Record.String()]; got != uint64(round+1) {
			t.Errorf("%d records received, want %d: counters go on", got, round+1)
		}
	}
}

// TestAnyPortIsAnotherWhenTheLastIsTaken: where any port is good, a taken one is no fault.
func TestAnyPortIsAnotherWhenTheLastIsTaken(t *testing.T) {
	s, err := bound(0)
	if err != nil {
		t.Fatal(err)
	}
	port, conn := s.Port(), s.conn.Swap(nil)
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	other, err := bound(port)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close() //nolint:errcheck // ends the test
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // ditto
	if s.Port() == port || s.Port() == 0 {
		t.Errorf("port %d, want any other than %d", s.Port(), port)
	}
}

// TestCloseEndsTheWait: a socket that waits for its port ends at once.
func TestCloseEndsTheWait(t *testing.T) {
	taken, _ := listen(t)
	s, err := New(taken.Port(), everything)
	if err != nil {
		t.Fatal(err)
	}
	changes, _ := runChanging(t, s)
	if err := change(t, changes); err == nil {
		t.Error("two sockets have one port")
	} // the rest is checked when the test ends
}

func TestReadHolder(t *testing.T) {
	const list = `   sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  112: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 1 2 0 0
  113: B80D01200000000000000000010000FF:39C6 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000 65534        0 1 2 0 0
  short
  114: xyz:39C7 0:0 07 0:0 00:0 0 1 0 1 2 0 0
`
	if h, ok := readHolder(strings.NewReader(list), 53); !ok || h.user != 101 || h.at != netip.MustParseAddrPort("127.0.0.1:53") {
		t.Errorf("port 53: %v, %t", h, ok)
	}
	if h, ok := readHolder(strings.NewReader(list), 14790); !ok || h.user != 65534 || h.at != netip.MustParseAddrPort("[2001:db8::ff00:1]:14790") {
		t.Errorf("port 14790: %v, %t", h, ok)
	}
	for _, port := range []int{1, 14791} {
		if h, ok := readHolder(strings.NewReader(list), port); ok {
			t.Errorf("port %d: %v", port, h)
		}
	}
}

// FuzzReadHolder reads anything as the kernel's list of sockets.
func FuzzReadHolder(f *testing.F) {
	f.Add("1: 0100007F:39C6 0:0 07 0:0 00:0 0 65534 0", uint16(14790))
	f.Add("1: :39C6 0:0 07 0:0 00:0 0 1 0", uint16(14790))
	f.Fuzz(func(_ *testing.T, list string, port uint16) { _, _ = readHolder(strings.NewReader(list), int(port)) })
}
