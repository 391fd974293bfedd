package turn

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"evio/datapath/udp"
)

func TestLossIsNoticed(t *testing.T) {
	for _, network := range []string{UDP, TCP} {
		t.Run(network, func(t *testing.T) {
			s := serve(t, network, nil)
			c := newClient(t, s.client())
			a := c.acquire(t)
			s.stop()
			awaitDone(t, a)
			if a.Err() == nil || errors.Is(a.Err(), ErrReleased) {
				t.Errorf("ended by %v", a.Err())
			}
			if err := a.Send(netip.MustParseAddrPort("127.0.0.1:9"), []byte("x")); err == nil {
				t.Error("a lost allocation sends")
			}
			if err := a.Permit(t.Context(), netip.MustParseAddr("127.0.0.1")); err == nil {
				t.Error("a lost allocation permits")
			}
			a.Release()
			if got := c.Status()[0]; got.State != Failed || !strings.HasPrefix(got.Reason, "the relayed address was lost") || got.Allocations != 0 {
				t.Errorf("status %+v", got)
			}
			s.start()
			var again *Allocation
			until(t, "the server is used again", func() (ok bool) {
				var err error
				again, err = c.Acquire(t.Context())
				return err == nil
			})
			again.Release()
			if got := c.Status()[0]; got.State != Usable || got.Reason != "" {
				t.Errorf("status %+v", got)
			}
			if last := c.log.LastEntry(); last.Message != "TURN server can be used again" {
				t.Errorf("the last log line is %q", last.Message)
			}
		})
	}
}

// TestRestartIsNoticed has a server that knows nothing of the allocation and is
// asked because someone suspects it.
func TestRestartIsNoticed(t *testing.T) {
	s := serve(t, UDP, nil)
	c := newClientWith(t, timing{answer: 2 * time.Second, refresh: time.Hour}, s.client())
	a := c.acquire(t)
	c.Suspect()
	until(t, "the server was asked", func() bool { return len(a.suspect) == 0 })
	select {
	case <-a.Done():
		t.Fatal("lost although the server is there")
	default:
	}
	s.stop()
	s.start()
	c.Suspect()
	awaitDone(t, a)
	a.Release()
}

func TestSilenceIsLoss(t *testing.T) {
	s := serve(t, UDP, nil)
	c := newClientWith(t, timing{answer: time.Second, refresh: time.Hour, retry: time.Hour}, s.client())
	a := c.acquire(t)
	s.muted.Store(true)
	c.Suspect()
	awaitDone(t, a)
	if _, ok := errors.AsType[noAnswerError](a.Err()); !ok {
		t.Errorf("ended by %v, want silence", a.Err())
	}
	a.Release()
	if _, err := c.Acquire(t.Context()); err == nil || !strings.Contains(err.Error(), "lost: no answer within 1s") {
		t.Errorf("got %v, want the reason of the loss", err)
	}
}

func TestPeersThatAreNeverRelayedTo(t *testing.T) {
	s := serve(t, UDP, nil)
	c := newClient(t, s.client())
	c.config.AllowLoopback = false
	a := c.acquire(t)
	defer a.Release()
	for _, text := range []string{
		"127.0.0.1", "::ffff:127.0.0.1", "169.254.1.1", "224.0.0.1", "239.1.2.3", "0.0.0.0", "255.255.255.255",
		"::1", "fe80::1", "fe80::1%eth0", "ff02::1", "::", "2001:db8::1",
	} {
		peer := netip.MustParseAddr(text)
		if err := a.Permit(t.Context(), peer); !errors.Is(err, ErrPeer) {
			t.Errorf("permit %s: %v", text, err)
		}
		if err := a.Send(netip.AddrPortFrom(peer, 1), []byte("x")); !errors.Is(err, ErrPeer) {
			t.Errorf("send to %s: %v", text, err)
		}
	}
	if len(a.permissions) != 0 {
		t.Errorf("%d permissions", len(a.permissions))
	}
}

func TestPermissionThatTheServerRefuses(t *testing.T) {
	s := serve(t, UDP, nil)
	s.denied.Store(true)
	c := newClient(t, s.client())
	a := c.acquire(t)
	defer a.Release()
	peer := netip.MustParseAddrPort("127.0.0.1:9")
	if err := a.Send(peer, []byte("dropped")); err != nil {
		t.Fatal(err)
	}
	if err := a.Permit(t.Context(), peer.Addr()); !isRefusal(err) {
		t.Errorf("permit: %v, want a refusal", err)
	}
	if err := a.Send(peer, []byte("dropped")); !isRefusal(err) {
		t.Errorf("send: %v, want a refusal", err)
	}
	if got := c.Status()[0].Dropped; got != 2 {
		t.Errorf("%d dropped, want 2", got)
	}
	s.denied.Store(false)
	until(t, "it is asked again", func() bool { return a.Permit(t.Context(), peer.Addr()) == nil })
}

func TestWhatWaitsForAPermissionIsBounded(t *testing.T) {
	s := serve(t, UDP, nil)
	c := newClientWith(t, timing{answer: time.Second, refresh: time.Hour}, s.client())
	a := c.acquire(t)
	defer a.Release()
	s.muted.Store(true)
	for range 2 * maxWaiting {
		if err := a.Send(netip.MustParseAddrPort("127.0.0.1:9"), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.Status()[0].Dropped; got != maxWaiting {
		t.Errorf("%d dropped, want %d", got, maxWaiting)
	}
	awaitDone(t, a)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if got := c.Status()[0].Dropped; got != 2*maxWaiting {
		t.Errorf("%d dropped, want all", got)
	}
}

// TestRenewal sends while everything is renewed all the time.
func TestRenewal(t *testing.T) {
	s := serve(t, TCP, nil)
	times := timing{refresh: 20 * time.Millisecond, permission: time.Nanosecond, channel: time.Nanosecond}
	alice, bob := newClientWith(t, times, s.client()), newClientWith(t, times, s.client())
	a, b := alice.acquire(t), bob.acquire(t)
	defer a.Release()
	defer b.Release()
	if err := b.Permit(t.Context(), a.Addr().Addr()); err != nil {
		t.Fatal(err)
	}
	bound := func() (at time.Time) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if c := a.channels[b.Addr()]; c != nil {
			at = c.bound
		}
		return at
	}
	first := time.Time{}
	until(t, "the channel is bound a second time", func() bool {
		if err := a.Send(b.Addr(), []byte("x")); err != nil {
			t.Fatal(err)
		}
		bob.await(t)
		if first.IsZero() {
			first = bound()
		}
		return bound().After(first)
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.permissions) != 1 || len(a.channels) != 1 || len(a.numbers) != 1 {
		t.Errorf("%d permissions, %d channels, %d numbers, want one of each", len(a.permissions), len(a.channels), len(a.numbers))
	}
}

func TestFreeNumbers(t *testing.T) {
	a := newAllocation(nil, nil, nil)
	seen := map[uint16]bool{}
	for range maxChannel - minChannel + 1 {
		seen[a.freeNumberLocked()] = true
	}
	if len(seen) != maxChannel-minChannel+1 {
		t.Errorf("%d numbers before one comes again", len(seen))
	}
	next := a.lastNumber + 1
	a.numbers[minChannel] = netip.AddrPort{}
	if n := a.freeNumberLocked(); n != minChannel+1 {
		t.Errorf("number %#x after %#x, want the next free one", n, next)
	}
}

// TestStrangersAreNotHeard has the server pass on what nobody permitted.
func TestStrangersAreNotHeard(t *testing.T) {
	s := serve(t, UDP, nil)
	c := newClient(t, s.client())
	a := c.acquire(t)
	defer a.Release()
	stranger, err := net.Dial("udp", a.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close() //nolint:errcheck // of a test
	from := stranger.LocalAddr().(*net.UDPAddr).AddrPort()
	message, err := appendIndication(nil, from, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	message[1] = 0x17 // a Data indication that the server would never have sent
	(&arrivals{Allocation: a}).receive([]udp.Datagram{{Data: message}}, 0)
	if err := a.Permit(t.Context(), from.Addr()); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprint(stranger, "permitted"); err != nil {
		t.Fatal(err)
	}
	if got := c.await(t); got.data != "permitted" || got.from != from {
		t.Errorf("got %v", got)
	}
}
