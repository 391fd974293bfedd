package network

import (
	"context"
	"crypto/ed25519"
	"errors"
	"maps"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"evio/datapath/ovs"
	"evio/driver/plane"
	"evio/overlay"
	"evio/overlay/nodeid"
)

// behind is what a bridge has of MAC addresses: the port that leads to each.
type behind map[overlay.MAC]string

func (b behind) apply(_ context.Context, whole ovs.Bridge) error {
	clear(b)
	for _, p := range whole.Ports {
		if p.Role == ovs.Link {
			for _, m := range p.MACs {
				b[m] = p.Name
			}
		}
	}
	return nil
}

func (b behind) move(_ context.Context, _ string, moved ovs.Moves) error {
	for _, s := range moved.Stations {
		if b[s.MAC] = s.Port; s.Port == "" {
			delete(b, s.MAC)
		}
	}
	return nil
}

// However the directory, links and runs of the applier follow each other, and whichever
// of them fail: in the end the bridge is what it would be if it were made anew, and what
// is accepted is what it lets in.
func TestDifferencesAddUp(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := bare(t)
		n.switched = newApplier(n.log, nil)
		table, bridge := map[overlay.MAC]nodeid.ID{}, behind{}
		ids := []nodeid.ID{{1}, {2}, {3}}
		whole := func() {
			if err := n.applyBy(t.Context(), bridge.apply); err != nil {
				r.Fatal(err)
			}
		}
		whole()
		for range rapid.IntRange(1, 40).Draw(r, "steps") {
			id := rapid.SampledFrom(ids).Draw(r, "node")
			switch rapid.SampledFrom([]string{"record", "record", "link", "part", "whole", "fail"}).Draw(r, "what") {
			case "record":
				mac := overlay.MAC{2, 0, 0, 0, 0, rapid.ByteRange(1, 5).Draw(r, "MAC")}
				c := overlay.Change{MAC: mac, Before: overlay.Entry{MAC: mac, Node: table[mac]}}
				if rapid.Bool().Draw(r, "held") {
					c.After = overlay.Entry{MAC: mac, Node: id}
				}
				if table[mac] = c.After.Node; c.After.Node.IsZero() {
					delete(table, mac)
				}
				n.follow([]overlay.Change{c})
			case "link": // whose coming and going has the whole applied
				if n.links.by[id] != nil {
					delete(n.links.by, id)
				} else {
					n.links.by[id] = &link{peer: id, dev: idle("evl" + id.String()[:2])}
				}
				whole()
			case "part":
				if err := n.moveBy(t.Context(), bridge.move); err != nil {
					r.Fatal(err)
				}
			case "whole":
				whole()
			case "fail": // which has the applier apply the whole
				_ = n.moveBy(t.Context(), func(context.Context, string, ovs.Moves) error { return ovs.ErrWhole })
				_ = n.applyBy(t.Context(), func(context.Context, ovs.Bridge) error { return errors.New("broken") })
				whole()
			}
			for mac, l := range n.accepted.by {
				if bridge[mac] != l.dev.Name() {
					r.Fatalf("%v is accepted by %s, flows have it by %q", mac, l.dev.Name(), bridge[mac])
				}
			}
		}
		if err := n.moveBy(t.Context(), bridge.move); err != nil {
			r.Fatal(err)
		}
		anew, lets := behind{}, map[overlay.MAC]string{}
		want, _ := n.desired()
		_ = anew.apply(t.Context(), want)
		for mac, l := range n.accepted.by {
			lets[mac] = l.dev.Name()
		}
		if d := cmp.Diff(anew, bridge); d != "" {
			r.Fatalf("the bridge: %s", d)
		}
		if d := cmp.Diff(map[overlay.MAC]string(anew), lets); d != "" {
			r.Fatalf("what is accepted: %s", d)
		}
		for mac, id := range table {
			if l := n.links.by[id]; (l != nil) != (bridge[mac] != "") {
				r.Fatalf("%v of %v is behind %q", mac, id, bridge[mac])
			}
		}
	})
}

// What concerns a container here changes more than where MAC addresses are.
func TestWhichChangesConcernContainersHere(t *testing.T) {
	n := bare(t)
	n.switched = newApplier(n.log, nil)
	e, err := n.reserve(plane.EndpointSpec{ID: "one", MAC: ours, Addrs: []netip.Addr{our4, our6}, HostIf: "lo"})
	if err != nil {
		t.Fatal(err)
	}
	entry := overlay.Entry{MAC: theirs, Node: there}
	for name, c := range map[string]struct {
		change overlay.Change
		whole  bool
	}{
		"its address":         {overlay.Change{Addr: our4, After: entry}, true},
		"its MAC address":     {overlay.Change{MAC: ours, Before: entry}, true},
		"another address":     {overlay.Change{Addr: their4, After: entry}, false},
		"another MAC address": {overlay.Change{MAC: theirs, After: entry}, false},
	} {
		n.switched.whole = false
		n.follow([]overlay.Change{c.change})
		if n.switched.whole != c.whole {
			t.Errorf("%s: all of the bridge %v, want %v", name, n.switched.whole, c.whole)
		}
	}
	if moving := slices.Collect(maps.Keys(n.view.moving.macs)); len(moving) != 2 {
		t.Errorf("moving are %v", moving)
	}
	n.release(e)
	if len(n.view.own.addrs)+len(n.view.own.macs) != 0 {
		t.Errorf("a container that left keeps %v", n.view.own)
	}
}

// What a record changes for the bridge costs the same beside many as beside few.
func TestDifferencesCostWhatChanges(t *testing.T) {
	cost := func(others int) (least time.Duration, allocs, memory float64) {
		n := bare(t)
		n.switched = newApplier(n.log, nil)
		n.node.Store(overlay.New(overlay.Config{Overlay: "blue", Key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), Log: quiet()}))
		n.links.by[there] = &link{peer: there, dev: idle("evl1")}
		var all []overlay.Change
		for i := range others {
			mac := overlay.MAC{2, 1, 0, 0, byte(i >> 8), byte(i)}
			all = append(all, overlay.Change{MAC: mac, After: overlay.Entry{MAC: mac, Node: there}})
		}
		bridge := behind{}
		step := func(changes ...overlay.Change) {
			fabric{n}.DirectoryChanged(changes)
			if err := n.moveBy(t.Context(), bridge.move); err != nil {
				t.Fatal(err)
			}
		}
		step(all...)
		come := overlay.Change{MAC: theirs, After: overlay.Entry{MAC: theirs, Node: there}}
		gone := overlay.Change{MAC: theirs, Before: come.After}
		step(come)
		step(gone)
		least = time.Hour
		const runs = 200
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			began := time.Now()
			step(come)
			step(gone)
			least = min(least, time.Since(began))
		}
		runtime.ReadMemStats(&after)
		if len(bridge) != others || len(n.accepted.by) != others {
			t.Errorf("%d addresses on the bridge and %d accepted, want %d", len(bridge), len(n.accepted.by), others)
		}
		return least, float64(after.Mallocs-before.Mallocs) / (2 * runs), float64(after.TotalAlloc-before.TotalAlloc) / (2 * runs)
	}
	best := 1e9
	for range 3 {
		few, _, _ := cost(128)
		many, allocs, memory := cost(7680)
		t.Logf("%.1f allocations and %.0f bytes for a record", allocs, memory)
		best = min(best, float64(many)/float64(few))
		if allocs > 12 || memory > 1<<10 { // of 50 and 10 KiB, with the directory and the flows
			t.Errorf("%.1f allocations and %.0f bytes for a record", allocs, memory)
		}
	}
	if best > 2 {
		t.Errorf("%.1f times what it costs beside few", best)
	}
}
