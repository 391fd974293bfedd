// Package collector decides what the engine has forgotten: stored networks and
// endpoints that are no longer in any of its lists, because it removed them while
// the plugin was away.
//
// The package is pure. Its driver reads the store, then the engine's lists, then the
// store again, and hands all of that in as one [Look]; the [Collector] returns what
// is to be collected. What is in doubt is kept:
//
//   - Lists without the networks that every engine has are ignored, and a look that
//     failed makes the earlier ones worthless.
//   - An object goes when two looks with no other result between them, some time
//     apart, did not find it, and it was stored before the first of them, nothing
//     was done about it since, and nothing is being done about it.
//   - The engine must have known the object's network, or know another one of this
//     store: it could be another engine on the same host.
//
// The other direction is only reported: networks of this driver that the engine lists
// and the store lacks.
//
// A Collector belongs to one goroutine.
package collector

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"
)

// Key names a stored network, or with Endpoint an endpoint of it.
type Key struct{ Network, Endpoint string }

// Object is what the store's owner says of an object.
type Object struct {
	Version uint64 // another one whenever something was done about the object
	Busy    bool   // something is being done about it
	Known   bool   // a network that the engine has named before
}

// Network is a network as the engine lists it.
type Network struct {
	ID, Name, Driver string
	Local            bool // of this engine alone, not of a swarm
}

// List is what the engine has: all of its networks, and the endpoints of those that
// are stored too and of all running containers.
type List struct {
	Networks  []Network
	Endpoints map[string]bool // by ID
}

// Look is one comparison. Before and After hold what is stored, at the times Began
// and Ended; the List was asked for in between.
type Look struct {
	Began, Ended  time.Time
	Before, After map[Key]Object
	List          List
}

// Verdict is what follows from a look.
type Verdict struct {
	// Collect is what to remove, networks first. Endpoints of these networks are not
	// in it. The version is the one that must not have changed until then.
	Collect []Collected
	// Missing are networks of this driver that are not stored, sorted by ID.
	Missing []Network
	// Pending: another look, once the time is over, may collect more.
	Pending bool
}

// Collected is an object to remove.
type Collected struct {
	Key
	Version uint64
	Absent  time.Duration // between the looks
}

// ErrDoubtful says that the engine's list is not all that it has.
var ErrDoubtful = errors.New("Docker's list of networks has none named host and none: it is not believed") //nolint:staticcheck // a proper name

// Collector remembers earlier looks.
type Collector struct {
	apart   time.Duration
	drivers map[string]bool
	absent  map[Key]absence
	missing map[string]time.Time // by ID: not stored since
}

type absence struct {
	version uint64
	since   time.Time
}

// New returns a collector that wants looks to be apart by the given time. drivers are
// names by which the engine knows this driver; those of stored networks are learnt.
func New(apart time.Duration, drivers ...string) *Collector {
	c := &Collector{apart: apart, drivers: map[string]bool{}}
	for _, d := range drivers {
		c.drivers[d] = true
	}
	return c
}

// Forget makes earlier looks count for nothing: a look failed since.
func (c *Collector) Forget() { c.absent, c.missing = nil, nil }

// Look takes a look in. A list that is not believed makes it fail, which forgets.
func (c *Collector) Look(l Look) (Verdict, error) {
	if !l.List.credible() {
		c.Forget()
		return Verdict{}, ErrDoubtful
	}
	listed := map[string]bool{}
	ours := false
	for _, n := range l.List.Networks {
		listed[n.ID] = true
		if _, stored := l.Before[Key{Network: n.ID}]; stored {
			ours = true
			c.drivers[n.Driver] = true
		}
	}
	var v Verdict
	c.compareStored(l, listed, ours, &v)
	c.compareListed(l, &v)
	return v, nil
}

// credible reports whether the list has the networks that no engine is without. They
// lie in the same database as those of this driver.
func (l List) credible() bool {
	has := func(name, driver string) bool {
		return slices.ContainsFunc(l.Networks, func(n Network) bool { return n.Name == name && n.Driver == driver })
	}
	return has("host", "host") && has("none", "null")
}

func (c *Collector) compareStored(l Look, listed map[string]bool, ours bool, v *Verdict) {
	absent := map[Key]absence{}
	for key, o := range l.Before {
		if after, there := l.After[key]; !there || o.Busy || after.Busy || after.Version != o.Version {
			continue
		}
		if key.Endpoint == "" && (listed[key.Network] || !ours && !o.Known) {
			continue
		}
		if key.Endpoint != "" && (!listed[key.Network] || l.List.Endpoints[key.Endpoint]) {
			continue
		}
		a, before := c.absent[key]
		if !before || a.version != o.Version {
			a = absence{version: o.Version, since: l.Ended}
		}
		absent[key] = a
		if apart := l.Began.Sub(a.since); before && apart >= c.apart {
			v.Collect = append(v.Collect, Collected{Key: key, Version: o.Version, Absent: apart})
		} else {
			v.Pending = true
		}
	}
	c.absent = absent
	slices.SortFunc(v.Collect, func(a, b Collected) int {
		return cmp.Or(compareBool(a.Endpoint != "", b.Endpoint != ""), cmp.Compare(a.Network, b.Network), cmp.Compare(a.Endpoint, b.Endpoint))
	})
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}

func (c *Collector) compareListed(l Look, v *Verdict) {
	missing := map[string]time.Time{}
	found := map[string]Network{}
	for _, n := range l.List.Networks {
		_, before := l.Before[Key{Network: n.ID}]
		_, after := l.After[Key{Network: n.ID}]
		if before || after || !n.Local || !c.drivers[n.Driver] {
			continue
		}
		since, known := c.missing[n.ID]
		if !known {
			since = l.Ended
		}
		missing[n.ID] = since
		if known && l.Began.Sub(since) >= c.apart {
			found[n.ID] = n
		} else {
			v.Pending = true
		}
	}
	c.missing = missing
	for _, id := range slices.Sorted(maps.Keys(found)) {
		v.Missing = append(v.Missing, found[id])
	}
}
