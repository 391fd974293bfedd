package ovs

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// apart returns the flows of a bridge without cookies.
func apart(entries map[string]entry) map[string]string {
	out := map[string]string{}
	for k, e := range entries {
		out[k] = e.Actions
	}
	return out
}

// linked is a bridge with containers, and links in whose MAC addresses no two are alike.
func linked(t *rapid.T, from, to byte) (Bridge, map[string]int) {
	b, ofports := example()
	b.Ports = slices.DeleteFunc(b.Ports, func(p Port) bool { return p.Role == Link })
	for i := range 3 {
		name := fmt.Sprint("l", i)
		b.Ports = append(b.Ports, Port{Name: name, Role: Link})
		ofports[name] = 10 + i
	}
	for _, n := range rapid.SliceOfNDistinct(rapid.ByteRange(from, to), 0, 20, func(b byte) byte { return b }).Draw(t, "MACs") {
		at := len(b.Ports) - 1 - rapid.IntRange(0, 2).Draw(t, "link")
		b.Ports[at].MACs = append(b.Ports[at].MACs, mac(n))
	}
	return b, ofports
}

// A reach gives the flows that Flows has of links.
func TestReachIsWhatFlowsSay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, ofports := linked(t, 0, 40)
		all, _, err := want(Flows(b, ofports))
		if err != nil {
			t.Fatal(err)
		}
		base, _, err := want(Flows(withoutReach(b), ofports))
		if err != nil {
			t.Fatal(err)
		}
		got := reachOf(b, ofports).entries(base)
		if d := cmp.Diff(apart(all), apart(got)); d != "" {
			t.Fatal(d)
		}
		cookies := map[uint64]bool{}
		for _, e := range got {
			cookies[e.Cookie] = true
		}
		if len(cookies) != len(got) {
			t.Fatal("two flows with one cookie")
		}
	})
}

// carry does to a table what a bundle says.
func carry(t *rapid.T, have map[string]entry, lines []byte) {
	for scan := bufio.NewScanner(bytes.NewReader(lines)); scan.Scan(); {
		what, flow, _ := strings.Cut(scan.Text(), " ")
		switch what {
		case "add":
			e, err := parseFlow(flow)
			if err != nil {
				t.Fatal(err)
			}
			have[e.key()] = e
		case "delete":
			var c uint64
			if _, err := fmt.Sscanf(flow, "cookie=0x%x/-1", &c); err != nil {
				t.Fatal(err)
			}
			maps.DeleteFunc(have, func(_ string, e entry) bool { return e.Cookie == c })
		default:
			t.Fatalf("%q in a bundle", scan.Text())
		}
	}
}

// Whatever moves, in steps, the bridge is as if it were applied as a whole.
func TestMovesAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, ofports := linked(t, 100, 140)
		base, _, err := want(Flows(withoutReach(b), ofports))
		if err != nil {
			t.Fatal(err)
		}
		m := memory{bridge: withoutReach(b), applied: base, ofports: ofports, reach: reachOf(b, ofports), local: newTable(b, ofports).local}
		have := m.reach.entries(base)
		elsewhere := map[netip.Addr]bool{}
		for _, a := range b.Elsewhere {
			elsewhere[a] = true
		}
		for range rapid.IntRange(1, 10).Draw(t, "steps") {
			var moved Moves
			for _, n := range rapid.SliceOfNDistinct(rapid.ByteRange(100, 140), 0, 5, func(b byte) byte { return b }).Draw(t, "moved") {
				s := Station{mac(n), rapid.SampledFrom([]string{"", "l0", "l1", "l2"}).Draw(t, "to")}
				moved.Stations = append(moved.Stations, s)
				for i := range b.Ports {
					if b.Ports[i].Role != Link {
						continue
					}
					b.Ports[i].MACs = slices.DeleteFunc(slices.Clone(b.Ports[i].MACs), func(m MAC) bool { return m == s.MAC })
					if b.Ports[i].Name == s.Port {
						b.Ports[i].MACs = append(b.Ports[i].MACs, s.MAC)
					}
				}
			}
			// Some of them are containers' as well.
			for _, n := range rapid.SliceOfNDistinct(rapid.ByteRange(1, 12), 0, 5, func(b byte) byte { return b }).Draw(t, "addresses") {
				a := netip.AddrFrom4([4]byte{10, 0, 0, n})
				if elsewhere[a] = !elsewhere[a]; elsewhere[a] {
					moved.Came = append(moved.Came, a)
				} else {
					moved.Went = append(moved.Went, a)
					delete(elsewhere, a)
				}
			}
			d, err := m.moves(moved)
			if err != nil {
				t.Fatal(err)
			}
			carry(t, have, d.lines)
			m.take(d)
		}
		b.Elsewhere = slices.Collect(maps.Keys(elsewhere))
		base, _, err = want(Flows(withoutReach(b), ofports))
		if err != nil {
			t.Fatal(err)
		}
		whole := reachOf(b, ofports).entries(base)
		if d := cmp.Diff(whole, have); d != "" {
			t.Fatal(d)
		}
		if d := cmp.Diff(whole, m.reach.entries(m.applied)); d != "" {
			t.Fatalf("what is remembered: %s", d)
		}
	})
}

func TestMoveNeedsTheWhole(t *testing.T) {
	m := memory{ofports: map[string]int{"l": 1}, reach: reach{}, local: map[MAC]bool{mac(1): true}}
	for name, s := range map[string]Station{"a port that is not there": {mac(2), "other"}, "a container's": {mac(1), "l"}, "a container's, gone": {mac(1), ""}} {
		if _, err := m.moves(Moves{Stations: []Station{s}}); !errors.Is(err, ErrWhole) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, s := range map[string]Station{"nowhere before and after": {mac(2), ""}, "a group": {MAC{1}, "l"}} {
		if d, err := m.moves(Moves{Stations: []Station{s}}); err != nil || len(d.lines)+len(d.reach) != 0 {
			t.Errorf("%s: %s, %v", name, d.lines, err)
		}
	}
	s := &Switch{bridges: map[string]*bridgeState{}}
	if err := s.Move(t.Context(), "br", Moves{Stations: []Station{{mac(2), ""}}}); !errors.Is(err, ErrWhole) {
		t.Errorf("a bridge that is not known: %v", err)
	}
}

// What moves costs the same in a small and in a large bridge.
func TestMoveCostsWhatMoves(t *testing.T) {
	cost := func(others int) (allocs, bytes float64) {
		m := memory{ofports: map[string]int{"l1": 1, "l2": 2}, reach: reach{}}
		for i := range others {
			m.reach[MAC{2, 1, 0, 0, byte(i >> 8), byte(i)}] = 1
		}
		ports := []string{"l1", "l2"}
		const runs = 200
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			d, err := m.moves(Moves{Stations: []Station{{mac(1), ports[0]}}})
			if err != nil || len(d.reach) != 1 {
				t.Fatal(d, err)
			}
			m.take(d)
			slices.Reverse(ports)
		}
		runtime.ReadMemStats(&after)
		return float64(after.Mallocs-before.Mallocs) / runs, float64(after.TotalAlloc-before.TotalAlloc) / runs
	}
	few, _ := cost(256)
	many, bytes := cost(15360)
	t.Logf("%.1f allocations and %.0f bytes for an address that moves", many, bytes)
	if many > few+1 || many > 22 || bytes > 3<<10 { // of 50 and 10 KiB, with the directory and the table
		t.Errorf("%.1f allocations beside 256 addresses, %.1f and %.0f bytes beside 15,360", few, many, bytes)
	}
}
