package collector

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const apart = 20 * time.Second

var start = time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)

// own are the networks that every engine has.
var own = []Network{{ID: "h", Name: "host", Driver: "host", Local: true}, {ID: "0", Name: "none", Driver: "null", Local: true}}

func engine(networks ...Network) List { return List{Networks: append(networks, own...)} }

func evio(id string) Network {
	return Network{ID: id, Name: "name of " + id, Driver: "evio", Local: true}
}

// at is a look a number of seconds after the start, with a store that does not change.
func at(seconds int, stored map[Key]Object, list List) Look {
	when := start.Add(time.Duration(seconds) * time.Second)
	return Look{Began: when, Ended: when, Before: stored, After: stored, List: list}
}

// TestLooks: what two looks, or three, come to. All have network n and its endpoint e
// stored, unless they say otherwise.
func TestLooks(t *testing.T) {
	net, ep := Key{Network: "n"}, Key{Network: "n", Endpoint: "e"}
	stored := func(change ...func(map[Key]Object)) map[Key]Object {
		m := map[Key]Object{net: {Version: 1, Known: true}, ep: {Version: 2}}
		for _, c := range change {
			c(m)
		}
		return m
	}
	set := func(k Key, o Object) func(map[Key]Object) { return func(m map[Key]Object) { m[k] = o } }
	collectNet := []Collected{{Key: net, Version: 1, Absent: apart}}
	collectEp := []Collected{{Key: ep, Version: 2, Absent: apart}}
	during := func(l Look, after map[Key]Object) Look { l.After = after; return l }
	with := func(l List, endpoints ...string) List {
		l.Endpoints = map[string]bool{}
		for _, e := range endpoints {
			l.Endpoints[e] = true
		}
		return l
	}
	for name, c := range map[string]struct {
		looks []Look
		want  Verdict // of the last
	}{
		"one look":         {[]Look{at(0, stored(), engine())}, Verdict{Pending: true}},
		"a network":        {[]Look{at(0, stored(), engine()), at(20, stored(), engine())}, Verdict{Collect: collectNet}},
		"an endpoint":      {[]Look{at(0, stored(), engine(evio("n"))), at(20, stored(), engine(evio("n")))}, Verdict{Collect: collectEp}},
		"a living one":     {[]Look{at(0, stored(), with(engine(evio("n")), "e")), at(20, stored(), with(engine(evio("n")), "e"))}, Verdict{}},
		"too soon":         {[]Look{at(0, stored(), engine()), at(19, stored(), engine())}, Verdict{Pending: true}},
		"looks in between": {[]Look{at(0, stored(), engine()), at(5, stored(), engine()), at(20, stored(), engine())}, Verdict{Collect: collectNet}},
		"listed in between": {
			[]Look{at(0, stored(), engine()), at(5, stored(), with(engine(evio("n")), "e")), at(20, stored(), engine())}, Verdict{Pending: true},
		},
		"a call in between": {
			[]Look{at(0, stored(), engine()), at(20, stored(set(net, Object{Version: 3, Known: true})), engine())}, Verdict{Pending: true},
		},
		"a call goes on": {
			[]Look{at(0, stored(), engine()), at(20, stored(set(net, Object{Version: 1, Known: true, Busy: true})), engine())}, Verdict{},
		},
		"overtaken by a call": {
			[]Look{at(0, stored(), engine()), during(at(20, stored(), engine()), stored(set(net, Object{Version: 3, Known: true})))}, Verdict{},
		},
		"overtaken by a call that goes on": {
			[]Look{at(0, stored(), engine()), during(at(20, stored(), engine()), stored(set(net, Object{Version: 1, Known: true, Busy: true})))}, Verdict{},
		},
		"overtaken by the end of a call": {
			[]Look{at(0, stored(), engine()), during(at(20, stored(set(net, Object{Version: 1, Known: true, Busy: true})), engine()), stored())}, Verdict{},
		},
		"removed meanwhile": {[]Look{at(0, stored(), engine()), during(at(20, stored(), engine()), map[Key]Object{})}, Verdict{}},
		"another engine": {
			[]Look{at(0, stored(set(net, Object{Version: 1})), engine()), at(20, stored(set(net, Object{Version: 1})), engine())}, Verdict{},
		},
		"an engine that knows another one": {
			[]Look{
				at(0, map[Key]Object{net: {Version: 1}, {Network: "m"}: {}}, engine(evio("m"))),
				at(20, map[Key]Object{net: {Version: 1}, {Network: "m"}: {}}, engine(evio("m"))),
			}, Verdict{Collect: collectNet},
		},
		"not stored": {
			[]Look{at(0, nil, engine(evio("x"), evio("w"))), at(20, nil, engine(evio("x"), evio("w")))}, Verdict{Missing: []Network{evio("w"), evio("x")}},
		},
		"not stored yet": {[]Look{at(0, nil, engine(evio("x")))}, Verdict{Pending: true}},
		"not stored by a driver that is learnt": {
			[]Look{
				at(0, map[Key]Object{{Network: "m"}: {}}, engine(Network{ID: "m", Driver: "evionet:latest"})),
				at(20, nil, engine(Network{ID: "x", Driver: "evionet:latest", Local: true})),
				at(40, nil, engine(Network{ID: "x", Driver: "evionet:latest", Local: true})),
			}, Verdict{Missing: []Network{{ID: "x", Driver: "evionet:latest", Local: true}}},
		},
		"another driver's, or a swarm's": {
			[]Look{
				at(0, nil, engine(Network{ID: "x", Driver: "weave", Local: true}, Network{ID: "y", Driver: "evio"})),
				at(20, nil, engine(Network{ID: "x", Driver: "weave", Local: true}, Network{ID: "y", Driver: "evio"})),
			}, Verdict{},
		},
	} {
		t.Run(name, func(t *testing.T) {
			collector := New(apart, "evio", "evio:latest")
			var got Verdict
			for _, l := range c.looks {
				var err error
				if got, err = collector.Look(l); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestDoubt: a list that is not believed, and a look that failed, undo what was seen.
func TestDoubt(t *testing.T) {
	stored := map[Key]Object{{Network: "n"}: {Known: true}}
	for name, doubt := range map[string]func(*Collector) error{
		"a failure":       func(c *Collector) error { c.Forget(); return ErrDoubtful },
		"nothing":         func(c *Collector) error { _, err := c.Look(at(10, stored, List{})); return err },
		"no network host": func(c *Collector) error { _, err := c.Look(at(10, stored, List{Networks: own[1:]})); return err },
		"no network none": func(c *Collector) error { _, err := c.Look(at(10, stored, List{Networks: own[:1]})); return err },
		"a namesake": func(c *Collector) error {
			_, err := c.Look(at(10, stored, List{Networks: []Network{own[0], {ID: "z", Name: "none", Driver: "bridge"}}}))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := New(apart)
			if _, err := c.Look(at(0, stored, engine())); err != nil {
				t.Fatal(err)
			}
			if err := doubt(c); !errors.Is(err, ErrDoubtful) {
				t.Fatal(err)
			}
			if v, err := c.Look(at(21, stored, engine())); err != nil || len(v.Collect) != 0 {
				t.Errorf("%+v, %v", v, err)
			}
			if v, err := c.Look(at(41, stored, engine())); err != nil || len(v.Collect) != 1 {
				t.Errorf("%+v, %v", v, err)
			}
		})
	}
}
