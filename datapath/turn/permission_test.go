package turn

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"evio/datapath/udp"
)

// testPeer is one of 65,536 addresses.
func testPeer(i int) netip.Addr { return netip.AddrFrom4([4]byte{198, 18, byte(i / 256), byte(i)}) }

// TestPeersAreBounded has other peers in all places. The first was sent to longest
// ago, but has been heard since.
func TestPeersAreBounded(t *testing.T) {
	s := serve(t, UDP, nil)
	c := newClientWith(t, timing{refresh: time.Hour}, s.client())
	a := c.acquire(t)
	defer a.Release()
	now := time.Now()
	a.mu.Lock()
	for i := range MaxPeers {
		used := now.Add(time.Duration(i-MaxPeers) * time.Millisecond)
		a.permissions[testPeer(i)] = &permission{answered: make(chan struct{}), granted: now, used: used}
		a.bindingLocked(netip.AddrPortFrom(testPeer(i), 1), 1, now)
	}
	if b := a.bindingLocked(netip.MustParseAddrPort("198.51.100.1:1"), 1, now); b != nil {
		t.Error("one channel too many")
	}
	a.mu.Unlock()
	message, err := appendIndication(nil, netip.AddrPortFrom(testPeer(0), 1), []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	message[1] = 0x17 // a Data indication
	(&arrivals{Allocation: a}).receive([]udp.Datagram{{Data: message}}, 0)
	for i := range 2 {
		if err := a.Permit(t.Context(), netip.AddrFrom4([4]byte{198, 51, 100, byte(i)})); err != nil {
			t.Errorf("permit another: %v", err)
		}
	}
	if err := a.Send(netip.MustParseAddrPort("198.51.100.2:1"), []byte("x")); err != nil {
		t.Errorf("send to another: %v", err)
	}
	a.mu.Lock()
	if len(a.permissions) != MaxPeers {
		t.Errorf("%d permissions, want %d", len(a.permissions), MaxPeers)
	}
	for i := range MaxPeers {
		if kept, want := a.permissions[testPeer(i)] != nil, i == 0 || i > 3; kept != want {
			t.Errorf("peer %d is kept: %v, want %v", i, kept, want)
		}
	}
	a.mu.Unlock()
	until(t, "all are granted", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.requesting == 0
	})
	a.maintain(now.Add(channelRest + time.Minute))
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.permissions)+len(a.channels)+len(a.numbers) != 0 {
		t.Errorf("%d permissions, %d channels, %d numbers are kept", len(a.permissions), len(a.channels), len(a.numbers))
	}
}

// TestPeersBeyondTheBound asks for more at once than there are places.
func TestPeersBeyondTheBound(t *testing.T) {
	s := serve(t, UDP, nil)
	c := newClientWith(t, timing{refresh: time.Hour}, s.client())
	a := c.acquire(t)
	defer a.Release()
	peers := make([]netip.Addr, MaxPeers+1)
	for i := range peers {
		peers[i] = testPeer(i)
	}
	if err := a.Permit(t.Context(), peers...); !errors.Is(err, ErrPeers) {
		t.Errorf("got %v, want %v", err, ErrPeers)
	}
	if err := a.Permit(t.Context(), peers[1:]...); err != nil {
		t.Errorf("the others: %v", err)
	}
}

// TestPermissionsAreAskedForTogether has one peer that the server refuses.
func TestPermissionsAreAskedForTogether(t *testing.T) {
	enemy := testPeer(40)
	s := serve(t, UDP, func(s *testServer) { s.enemy = enemy })
	c := newClientWith(t, timing{refresh: time.Hour}, s.client())
	a := c.acquire(t)
	defer a.Release()
	peers := make([]netip.Addr, 100)
	for i := range peers {
		peers[i] = testPeer(i)
	}
	err := a.Permit(t.Context(), peers...)
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) != 1 || !isRefusal(err) {
		t.Errorf("got %v, want one refusal", err)
	}
	if got := s.permissions.Load(); got > int32(len(peers)/2) {
		t.Errorf("%d requests for %d peers", got, len(peers))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, peer := range peers {
		if p := a.permissions[peer]; p.granted.IsZero() != (peer == enemy) || p.wanted || p.asking {
			t.Errorf("%s: %+v", peer, p)
		}
	}
}
