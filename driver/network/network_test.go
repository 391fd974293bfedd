package network

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evio/datapath/frame"
	"evio/datapath/ovs"
	"evio/datapath/tap"
	"evio/driver/network/admission"
	"evio/driver/plane"
	"evio/overlay"
	"evio/overlay/nodeid"
)

// idle is a device without frames.
type idle string

func (d idle) Name() string                             { return string(d) }
func (d idle) ReadFrames(*frame.Vector) error           { return errors.New("no frames") }
func (d idle) WriteFrames(f []frame.Frame) (int, error) { return len(f), nil }
func (d idle) Close() error                             { return nil }
func (idle) Offloads() tap.Offloads                     { return tap.Offloads{} }
func (idle) Stats() tap.Stats                           { return tap.Stats{} }

// bare returns a local network without goroutines.
func bare(t *testing.T) *network {
	t.Helper()
	n := &network{
		bridge: "evb0", fabric: idle("evf0"), asking: idle("eva0"), log: quiet(),
		endpoints: map[string]*endpoint{}, links: links{by: map[nodeid.ID]*link{}},
	}
	n.bind()
	n.claimer = newClaimer(n, admission.Claim)
	n.rules = newRules(admission.Claim, n)
	t.Cleanup(n.group.end)
	return n
}

// A link that goes down while the bridge is worked on is no reason to refuse the
// container for which that is done.
func TestApplyForgivesPortsThatNobodyWants(t *testing.T) {
	n := bare(t)
	n.links.by[nodeid.ID{1}] = &link{dev: idle("evl1")}
	n.links.by[nodeid.ID{2}] = &link{dev: idle("evl2")}
	var seen [][]string
	err := n.applyBy(t.Context(), func(_ context.Context, b ovs.Bridge) error {
		seen = append(seen, portNames(b))
		if len(seen) > 1 {
			return nil
		}
		n.links.mu.Lock()
		defer n.links.mu.Unlock()
		delete(n.links.by, nodeid.ID{1})
		return errors.New("port evl1: there is no such device")
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]string{{"eva0", "evf0", "evl1", "evl2"}, {"eva0", "evf0", "evl2"}}, seen); diff != "" {
		t.Error(diff)
	}
}

func TestApplyReportsWhatStays(t *testing.T) {
	n := bare(t)
	broken, runs := errors.New("broken"), 0
	if err := n.applyBy(t.Context(), func(context.Context, ovs.Bridge) error { runs++; return broken }); !errors.Is(err, broken) || runs != 1 {
		t.Errorf("%v after %d runs", err, runs)
	}
}

// The flows count as installed only with the bridge, and only for the link that
// they name, not for one that took its place.
func TestApplyRecordsWhatFlowsAccept(t *testing.T) {
	n := bare(t)
	n.view.remote = remote{there: {theirs: {}}}
	l := &link{dev: idle("evl1")}
	n.links.by[there] = l
	_ = n.applyBy(t.Context(), func(context.Context, ovs.Bridge) error { return errors.New("broken") })
	if n.accepted.lets(theirs, l) {
		t.Error("recorded though it failed")
	}
	if err := n.applyBy(t.Context(), func(context.Context, ovs.Bridge) error { return nil }); err != nil || !n.accepted.lets(theirs, l) {
		t.Error("not recorded", err)
	}
}

// What the flows will not let in any more takes the way of first frames before they
// change, and so does what they will let in by another link.
func TestApplyAcceptsNothingThatFlowsAreAboutToRefuse(t *testing.T) {
	n := bare(t)
	old, stays := &link{dev: idle("evl1")}, &link{dev: idle("evl2")}
	n.accepted.set(map[overlay.MAC]*link{ours: old, theirs: stays, another: old})
	n.accepted.narrow(map[overlay.MAC]*link{theirs: stays, another: stays})
	if got := n.accepted.by; len(got) != 1 || got[theirs] != stays {
		t.Errorf("accepted are %v", got)
	}
	err := n.applyBy(t.Context(), func(context.Context, ovs.Bridge) error {
		if got := n.accepted.by; len(got) != 0 {
			t.Errorf("while flows of no link are made, accepted are %v", got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A port that cannot be opened is its own matter: the flows of the others count, and
// only who waits for that port is refused.
func TestApplyWithABrokenPort(t *testing.T) {
	n := bare(t)
	node := overlay.New(overlay.Config{Overlay: "blue", Key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), Log: quiet()})
	n.node.Store(node)
	good, bad := &link{dev: idle("evl1")}, &link{dev: idle("evl2")}
	n.links.by[nodeid.ID{1}], n.links.by[nodeid.ID{2}] = good, bad
	broken := errors.New("Device or resource busy")
	n.view.remote = remote{nodeid.ID{1}: {theirs: {}}, nodeid.ID{2}: {another: {}}}
	runs := 0
	err := n.applyBy(t.Context(), func(context.Context, ovs.Bridge) error {
		runs++
		return fmt.Errorf("apply bridge: %w", &ovs.PortsError{Ports: map[string]error{"evl2": broken}})
	})
	if !n.accepted.lets(theirs, good) || n.accepted.lets(another, bad) || runs != 1 {
		t.Errorf("not recorded after %d runs", runs)
	}
	if err := ofPort(err, "evl1"); err != nil {
		t.Errorf("of another port: %v", err)
	}
	if err := ofPort(err, "evl2"); !errors.Is(err, broken) {
		t.Errorf("of that port: %v", err)
	}
	if err := ofPort(errClosed, "evl1"); !errors.Is(err, errClosed) {
		t.Errorf("of the bridge: %v", err)
	}
	accepted := map[overlay.MAC]*link{ours: good, theirs: bad}
	leaveOut(accepted, err)
	if len(accepted) != 1 || accepted[ours] != good {
		t.Errorf("flows of a port that is not there count: %v", accepted)
	}
}

// Only those that are being attached or are attached hold addresses, and only
// those that are attached stand on the bridge.
func TestReservation(t *testing.T) {
	n := bare(t)
	spec := func(id string, mac byte, addr string) plane.EndpointSpec {
		return plane.EndpointSpec{ID: id, MAC: overlay.MAC{2, 0, 0, 0, 0, mac}, Addrs: []netip.Addr{netip.MustParseAddr(addr)}, HostIf: "lo"}
	}
	const rivals = 50
	won := make(chan *endpoint, rivals)
	var wg sync.WaitGroup
	for i := range rivals {
		wg.Go(func() {
			e, err := n.reserve(spec(strings.Repeat("x", i+1), byte(i), "10.0.0.1"))
			if err == nil {
				won <- e
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Fatalf("%d containers have one address", len(won))
	}
	e := <-won
	if b, _ := n.desired(); len(b.Ports) != 2 {
		t.Errorf("on the bridge before it is attached: %v", portNames(b))
	}
	e.attached = true
	if b, _ := n.desired(); len(b.Ports) != 3 {
		t.Errorf("not on the bridge: %v", portNames(b))
	}
	stopped := false
	e.stop = func() { stopped = true }
	n.release(e)
	n.release(e)
	if !stopped {
		t.Error("its announcements go on")
	}
	next, err := n.reserve(spec("next", 1, "10.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	n.release(e) // once more, late
	if n.endpoints["next"] != next {
		t.Error("the late release took another container's place")
	}
	n.closed = true
	if _, err := n.reserve(spec("late", 2, "10.0.0.2")); !errors.Is(err, errClosed) {
		t.Errorf("on a closed network: %v", err)
	}
}
