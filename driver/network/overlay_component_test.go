//go:build component

package network

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"evio/datapath/frame"
	"evio/datapath/packet"
	"evio/datapath/record"
	"evio/datapath/session/connect"
	"evio/driver/status"
	"evio/overlay"
	"evio/overlay/overlaytest"
)

// pair is two engines that share an overlay.
func pair(t *testing.T) (*rig, *rig) {
	t.Helper()
	server := overlaytest.New()
	a := newRig(t, server, "a", 1)
	b := newRig(t, server, "b", 2, a)
	server.Befriend(a.jid(), b.jid())
	a.addNetwork("blue")
	b.addNetwork("blue")
	linked(t, a, b)
	return a, b
}

// linked waits until two engines have a session with each other.
func linked(t *testing.T, all ...*rig) {
	t.Helper()
	for _, r := range all {
		eventually(t, r.name+" has a link", func() bool {
			n := r.network()
			n.links.mu.Lock()
			defer n.links.mu.Unlock()
			return len(n.links.by) == len(all)-1
		})
	}
}

// knows waits until an engine's directory has a container's addresses.
func knows(t *testing.T, r *rig, b *box) {
	t.Helper()
	eventually(t, r.name+" knows "+b.ns, func() bool {
		for _, a := range b.spec.Addrs {
			if e, ok := r.network().currentNode().Table().Lookup(a); !ok || e.MAC != b.spec.MAC {
				return false
			}
		}
		return true
	})
}

// The first frame between two containers is carried, though no flow for them is
// installed anywhere; so each of these pings is sent once.
func TestContainersOfTwoEngines(t *testing.T) {
	a, b := pair(t)
	one, two := a.box(1), b.box(2)
	one.attach()
	two.attach()
	if err := one.pingOnce(two.addr4()); err != nil {
		t.Error("first frames were lost: ", err)
	}
	mustPing(t, one, two)
	mustPing(t, two, one)
	for n := byte(3); n < 8; n++ {
		late := b.box(n)
		late.attach()
		if err := late.pingOnce(one.addr6()); err != nil {
			t.Error("first frames were lost: ", err)
		}
	}

	t.Run("TCP", func(t *testing.T) {
		eventually(t, "both links leave segmentation to the kernel", func() bool {
			return linkTAP(t, a).Offload.TCP && linkTAP(t, b).Offload.TCP
		})
		transfer(t, one, two, 20<<20)
		passedInPieces(t, a, b)
	})

	t.Run("conflict names the owner", func(t *testing.T) {
		knows(t, b, one)
		thief := b.box(9)
		thief.spec.Addrs = one.spec.Addrs
		if err := thief.join(); err == nil || !strings.Contains(err.Error(), a.jid()) {
			t.Errorf("an address of the other engine: %v", err)
		}
	})

	t.Run("status", func(t *testing.T) {
		all := a.plane.Networks(t.Context())
		if len(all) != 1 || len(all[0].Sessions) != 1 || len(all[0].Members) != 1 || len(all[0].Endpoints) != 1 || all[0].Local {
			t.Fatalf("%+v", all)
		}
		if n := all[0]; !n.Running || n.Fault != "" || n.Endpoints[0].State != "attached" || !slices.Contains(n.Ports, n.Endpoints[0].Interface) {
			t.Errorf("%+v", n)
		}
		if d := all[0].Drops; d["source-not-owned"] != 0 || d["malformed"] != 0 || d["link-write"] != 0 {
			t.Errorf("drops %v", d)
		}
	})

	t.Run("no engine loses its other network", func(t *testing.T) {
		a.addNetworkAs("fedcba9876543210", "green")
		if err := a.plane.RemoveNetwork(t.Context(), "fedcba9876543210"); err != nil {
			t.Fatal(err)
		}
		mustPing(t, one, two)
	})

	if err := errors.Join(a.plane.RemoveNetwork(t.Context(), netID), b.plane.RemoveNetwork(t.Context(), netID)); err != nil {
		t.Fatal(err)
	}
	if left := devices(t); len(left) != 0 {
		t.Errorf("devices left: %v", left)
	}
}

// linkTAP returns what an engine with one link says of its TAP.
func linkTAP(t *testing.T, r *rig) status.TAP {
	t.Helper()
	taps := r.plane.Networks(t.Context())[0].TAPs
	if len(taps) != 2 || taps[0].Node != "" || taps[0].Offload != (status.TAPOffload{}) || taps[1].Node == "" {
		t.Fatalf("want the TAPs of the fabric port, without offload, and of a link: %+v", taps)
	}
	return taps[1]
}

// passedInPieces checks that what one engine has sent to the other passed in few pieces at
// each place: the TAP that it was read from, both sockets, and the TAP that it was written to.
func passedInPieces(t *testing.T, from, to *rig) {
	t.Helper()
	read, written := linkTAP(t, from), linkTAP(t, to)
	sent, received := from.plane.transport.Stats().Socket, to.plane.transport.Stats().Socket
	session := to.plane.Networks(t.Context())[0].Sessions[0]
	for what, n := range map[string]struct{ parts, pieces uint64 }{
		"segments by frames that were read":    {read.ReadSegments, read.ReadFrames},
		"records by calls that send":           {sent.Sent["record"], sent.SendCalls},
		"records by calls that receive":        {received.Received["record"], received.ReceiveCalls},
		"frames by what they were merged into": {session.RxFrames, session.RxMerged},
		"segments by frames that were written": {written.WrittenSegments, written.WrittenFrames},
	} {
		if n.pieces == 0 || n.parts < 2*n.pieces {
			t.Errorf("%s: %d by %d", what, n.parts, n.pieces)
		} else {
			t.Logf("%s: %d by %d", what, n.parts, n.pieces)
		}
	}
}

// What a peer's engine says about addresses of others is refused, whichever way it
// comes, and a session that is established says so.
func TestPeerThatLies(t *testing.T) {
	a, b := pair(t)
	one, two := a.box(1), b.box(2)
	one.attach()
	two.attach()
	mustPing(t, one, two)
	knows(t, a, two)
	n := a.network()
	peer := b.network().currentNode().ID()
	lie := packet.Announce(nil, one.addr4(), two.spec.MAC)
	eventually(t, "flows let the peer's container in", func() bool {
		n.links.mu.Lock()
		defer n.links.mu.Unlock()
		return n.accepted.lets(two.spec.MAC, n.links.by[peer])
	})
	before := n.drops.notHolder.Load()
	copy(lie, one.spec.MAC[:])
	n.links.receive(peer, []frame.Frame{{Data: lie}}) // by its link port, if it were true
	eventually(t, "counted", func() bool { return n.drops.notHolder.Load() == before+1 })
	copy(lie, packet.Broadcast[:])
	n.currentNode().After(func() { fabric{n}.DeliverOrHold(peer, lie) })
	eventually(t, "counted", func() bool { return n.drops.notHolder.Load() == before+2 })
	mustPing(t, two, one)

	n.links.mu.Lock()
	c := overlaySession{n.links.by[peer].session.Load()}
	n.links.mu.Unlock()
	parameters := connect.Parameters{
		MinVersion: connect.MinVersion, MaxVersion: connect.MaxVersion, Index: 1, Ufrag: strings.Repeat("u", 12), Password: strings.Repeat("p", 32), AEADs: []record.AEAD{1},
	}
	if err := c.Connect(parameters.Append(nil), [32]byte{}); !errors.Is(err, overlay.ErrEstablished) {
		t.Errorf("an established session: %v", err)
	}
	if err := c.Connect(nil, [32]byte{}); err == nil || errors.Is(err, overlay.ErrEstablished) {
		t.Errorf("no parameters: %v", err)
	}
}

// transfer moves bytes by TCP from one container to another and compares sums.
func transfer(t *testing.T, from, to *box, size int64) {
	t.Helper()
	l := to.listen()
	defer l.Close() //nolint:errcheck // nothing to lose
	conn := from.dial(l.Addr().String())
	defer conn.Close() //nolint:errcheck // nothing to lose
	other, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close() //nolint:errcheck // nothing to lose
	deadline := time.Now().Add(60 * time.Second)
	_, _ = conn.SetDeadline(deadline), other.SetDeadline(deadline)
	sent, got, began := sha256.New(), sha256.New(), time.Now()
	failed := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.MultiWriter(conn, sent), io.LimitReader(rand.Reader, size))
		failed <- errors.Join(err, conn.Close())
	}()
	n, err := io.Copy(got, other)
	if err := errors.Join(err, <-failed); err != nil {
		t.Fatal(err)
	}
	if n != size || !bytes.Equal(sent.Sum(nil), got.Sum(nil)) {
		t.Fatalf("received %d of %d bytes, or others than sent", n, size)
	}
	t.Logf("%.2f Gb/s", float64(size)*8e-9/time.Since(began).Seconds())
}

// A container that comes back with another MAC address is announced: a container
// at the other engine that has the old one in its cache reaches it at once.
func TestNewMACIsAnnounced(t *testing.T) {
	a, b := pair(t)
	one, two := a.box(1), b.box(2)
	one.attach()
	two.attach()
	mustPing(t, one, two)
	if err := two.leave(); err != nil {
		t.Fatal(err)
	}
	run(t, "ip", "netns", "del", two.ns)
	two.spec.MAC = hw(0x77)
	two.attach()
	eventually(t, "the cache has the new MAC address", func() bool {
		return strings.Contains(one.ip("neigh", "show", two.addr4().String()), "02:ee:00:00:00:77") &&
			strings.Contains(one.ip("neigh", "show", two.addr6().String()), "02:ee:00:00:00:77")
	})
	mustPing(t, one, two)
}

// A network whose overlay becomes known later, with containers on it.
func TestOverlayNamedLater(t *testing.T) {
	server := overlaytest.New()
	a := newRig(t, server, "a", 1)
	b := newRig(t, server, "b", 2, a)
	server.Befriend(a.jid(), b.jid())
	a.addNetwork("")
	b.addNetwork("blue")
	one, two := a.box(1), b.box(2)
	one.attach()
	two.attach()
	if err := one.pingOnce(two.addr4()); err == nil {
		t.Fatal("a local network reaches another engine")
	}
	one.ip("neigh", "flush", "dev", "eth0") // the kernel still has the question open
	if err := a.plane.SetOverlay(t.Context(), netID, "blue"); err != nil {
		t.Fatal(err)
	}
	linked(t, a, b)
	knows(t, b, one)
	knows(t, a, two)
	mustPing(t, one, two)
}

// One plugin ends and comes back; the other one serves its containers by the new
// session, and nothing of the old life stays.
func TestEngineComesBack(t *testing.T) {
	a, b := pair(t)
	one, two, three := a.box(1), b.box(2), b.box(3)
	for _, c := range []*box{one, two, three} {
		c.attach()
	}
	mustPing(t, one, two)
	b.stop()
	eventually(t, "the link is down", func() bool {
		n := a.network()
		n.links.mu.Lock()
		defer n.links.mu.Unlock()
		return len(n.links.by) == 0
	})
	b.start()
	b.addNetwork("blue")
	two.spec.Adopt = true
	if err := two.join(); err != nil {
		t.Fatal(err)
	}
	linked(t, a, b)
	knows(t, a, two)
	knows(t, b, one)
	mustPing(t, one, two)
	mustPing(t, two, one)
	eventually(t, "what was not adopted is forgotten", func() bool {
		_, held := a.network().currentNode().Table().Lookup(three.addr4())
		return !held
	})
}

// Frames that arrive before the session has a link are carried by the directory.
func TestFramesBeforeTheLink(t *testing.T) {
	a, b := pair(t)
	one, two := a.box(1), b.box(2)
	one.attach()
	two.attach()
	knows(t, a, two)
	knows(t, b, one)
	n := a.network()
	peer := b.network().currentNode().ID()
	n.links.mu.Lock()
	l := n.links.by[peer]
	delete(n.links.by, peer)
	n.links.mu.Unlock()
	before := one.ip("-s", "link", "show", "eth0")
	n.links.receive(peer, []frame.Frame{{Data: append(append(append([]byte{}, one.spec.MAC[:]...), two.spec.MAC[:]...), 0x88, 0xb5, 1, 2, 3)}})
	if n.drops.noSession.Load() != 0 || n.drops.notOwner.Load() != 0 {
		t.Errorf("drops %v", n.drops.byCause())
	}
	eventually(t, "the frame arrives", func() bool { return one.ip("-s", "link", "show", "eth0") != before })
	n.links.mu.Lock()
	n.links.by[peer] = l
	n.links.mu.Unlock()
}
