package collector

import (
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestHistory compares the collector with what the rules say of the whole history of
// looks, for stores and engines that change as they like.
func TestHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := New(apart, "evio")
		var past []Look // since the last one that failed
		world := world{t: t, stored: map[Key]Object{}}
		now := start
		for range rapid.IntRange(2, 12).Draw(t, "looks") {
			now = now.Add(time.Duration(rapid.IntRange(0, 30).Draw(t, "pause")) * time.Second)
			world.change()
			l := Look{Began: now, Before: maps.Clone(world.stored), List: world.list()}
			if rapid.IntRange(0, 3).Draw(t, "calls meanwhile") == 0 {
				world.change()
			}
			now = now.Add(time.Duration(rapid.IntRange(0, 12).Draw(t, "took")) * time.Second)
			l.Ended, l.After = now, maps.Clone(world.stored)
			switch rapid.IntRange(0, 9).Draw(t, "outcome") {
			case 0:
				c.Forget()
				past = nil
				continue
			case 1:
				l.List.Networks = slices.DeleteFunc(l.List.Networks, func(n Network) bool { return n.Name == "none" })
			}
			v, err := c.Look(l)
			if err != nil {
				past = nil
				continue
			}
			past = append(past, l)
			got := map[Key]bool{}
			for _, o := range v.Collect {
				got[o.Key] = true
				if o.Version != l.After[o.Key].Version {
					t.Errorf("%v is to be collected in version %d", o.Key, o.Version)
				}
			}
			for key := range world.all() {
				if want := lost(past, key); want != got[key] {
					t.Errorf("look %d: %v collected: %v, want %v", len(past), key, got[key], want)
				}
			}
		}
	})
}

// lost reads the rules: the last looks, over the time that is wanted, all missed what
// was stored in one version and at rest.
func lost(past []Look, key Key) bool {
	last := past[len(past)-1]
	for _, l := range slices.Backward(past) {
		before, stored := l.Before[key]
		after, still := l.After[key]
		rest := stored && still && !before.Busy && !after.Busy && before.Version == after.Version && before.Version == last.Before[key].Version
		if !rest || lists(l, key) {
			return false
		}
		if last.Began.Sub(l.Ended) >= apart {
			return true
		}
	}
	return false
}

// lists reports whether the engine has the object, or cannot be asked about it.
func lists(l Look, key Key) bool {
	has := func(id string) bool {
		return slices.ContainsFunc(l.List.Networks, func(n Network) bool { return n.ID == id })
	}
	if key.Endpoint != "" {
		return !has(key.Network) || l.List.Endpoints[key.Endpoint]
	}
	known := l.Before[key].Known
	for k := range l.Before {
		known = known || k.Endpoint == "" && has(k.Network)
	}
	return has(key.Network) || !known
}

// world is a store and an engine that agree in nothing.
type world struct {
	t       *rapid.T
	stored  map[Key]Object
	version uint64
}

func (w *world) all() map[Key]bool {
	keys := map[Key]bool{}
	for _, n := range []string{"n1", "n2", "n3"} {
		keys[Key{Network: n}] = true
		keys[Key{Network: n, Endpoint: n + "e"}] = true
	}
	return keys
}

// change has one call end, begin, or remove something, more or less often.
func (w *world) change() {
	for range rapid.IntRange(0, 2).Draw(w.t, "calls") {
		keys := slices.SortedFunc(maps.Keys(w.all()), func(a, b Key) int {
			return slices.Compare([]string{a.Network, a.Endpoint}, []string{b.Network, b.Endpoint})
		})
		key := rapid.SampledFrom(keys).Draw(w.t, "object")
		w.version++
		switch rapid.IntRange(0, 3).Draw(w.t, "call") {
		case 0:
			delete(w.stored, key)
		case 1:
			w.stored[key] = Object{Version: w.version, Busy: true, Known: rapid.Bool().Draw(w.t, "told")}
		default:
			w.stored[key] = Object{Version: w.version, Known: rapid.Bool().Draw(w.t, "told")}
		}
	}
}

// list mostly says the same.
func (w *world) list() List {
	l := List{Networks: slices.Clone(own), Endpoints: map[string]bool{}}
	for _, n := range []string{"n1", "n2", "n3"} {
		if listed := rapid.IntRange(0, 3).Draw(w.t, n) == 0; listed != (n == "n1") { // n1 mostly is
			l.Networks = append(l.Networks, evio(n))
		}
		l.Endpoints[n+"e"] = rapid.IntRange(0, 3).Draw(w.t, n+"e") == 0
	}
	return l
}
