//go:build component

package ovs

import (
	"errors"
	"net"
	"strings"
	"testing"
)

// On a real switch addresses move one by one, at one start of a program, and the bridge
// stays one that is right: the next Apply and the next look find nothing to do.
func TestAddressesMoveOneByOne(t *testing.T) {
	starts := spyPath(t)
	s := start(t)
	a := newBox(t, "a", 1)
	openTAP(t, "l1")
	openTAP(t, "l2")
	br := network("br0", a.port(), Port{Name: "l1", Role: Link, MACs: []MAC{hw(11), hw(12)}}, Port{Name: "l2", Role: Link})
	if err := s.Move(t.Context(), "br0", Moves{Stations: []Station{{hw(11), "l1"}}}); !errors.Is(err, ErrWhole) {
		t.Errorf("a bridge that is not there: %v", err)
	}
	apply(t, s, br)
	flows := func() string {
		var all []string
		for _, e := range readTable(t, s) {
			all = append(all, e.Match+" "+e.Actions)
		}
		return strings.Join(all, "\n")
	}
	for _, step := range []struct {
		moved  []Station
		l1, l2 []MAC
	}{
		{[]Station{{hw(11), "l2"}, {hw(13), "l1"}}, []MAC{hw(12), hw(13)}, []MAC{hw(11)}},
		{[]Station{{hw(11), ""}, {hw(12), "l1"}}, []MAC{hw(12), hw(13)}, nil},
		{[]Station{{hw(12), ""}, {hw(13), ""}, {hw(11), "l1"}}, []MAC{hw(11)}, nil},
	} {
		starts()
		if err := s.Move(t.Context(), "br0", Moves{Stations: step.moved}); err != nil {
			t.Fatal(err)
		}
		if n := starts(); n != 1 {
			t.Errorf("%v: %d starts of programs", step.moved, n)
		}
		br.Ports[1].MACs, br.Ports[2].MACs = step.l1, step.l2
		for _, m := range []MAC{hw(11), hw(12), hw(13)} {
			reached := strings.Count(flows(), hwText(m))
			if port := s.bridges["br0"].reach[m]; (port != 0) != (reached == 2) {
				t.Errorf("%v: behind port %d with %d flows", m, port, reached)
			}
		}
		if found, err := s.Inspect(t.Context()); err != nil || len(found.Drifted) != 0 {
			t.Errorf("%v: found %v, %v", step.moved, found.Drifted, err)
		}
		starts()
		apply(t, s, br)
		if n := starts(); n != 0 {
			t.Errorf("%v: the whole took %d starts of programs", step.moved, n)
		}
	}
	run(t, "ovs-ofctl", "-OOpenFlow14", "del-flows", s.programs.management("br0"), "table=0,dl_src="+hwText(hw(11)))
	found, err := s.Inspect(t.Context())
	if err != nil || len(found.Drifted["br0"]) != 1 {
		t.Fatalf("a flow less: found %v, %v", found, err)
	}
	if err := s.Move(t.Context(), "br0", Moves{Stations: []Station{{hw(12), "l1"}}}); !errors.Is(err, ErrWhole) {
		t.Errorf("in doubt: %v", err)
	}
	apply(t, s, br)
	if found, err := s.Inspect(t.Context()); err != nil || len(found.Drifted) != 0 || !strings.Contains(flows(), hwText(hw(11))) {
		t.Errorf("not put right: %v, %v", found.Drifted, err)
	}
}

func hwText(m MAC) string { return net.HardwareAddr(m[:]).String() }
