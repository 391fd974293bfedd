package overlay

import (
	"crypto/ed25519"
	"encoding/binary"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"evio/overlay/directory"
	"evio/overlay/identity"
	"evio/overlay/member"
	"evio/overlay/nodeid"
)

// A node with 15 others that claim as much as they may, and one with few.
const (
	manyKeys = 15 * directory.MaxClaims
	fewKeys  = 256
)

// owner is another member, with a directory of its own that signs.
type owner struct {
	id        nodeid.ID
	key       ed25519.PrivateKey
	directory *directory.Directory
	next      int
}

func newOwner(tb testing.TB, number byte) *owner {
	tb.Helper()
	seed := make([]byte, ed25519.SeedSize)
	seed[0], seed[1] = number, 2
	o := &owner{key: ed25519.NewKeyFromSeed(seed)}
	o.id = nodeid.FromKey(identity.Public(o.key), labOverlay)
	var err error
	if o.directory, err = directory.New(o.id, o.key, labOverlay, directory.Config{}, time.Now()); err != nil {
		tb.Fatal(err)
	}
	return o
}

// claims returns the records of an address more and its MAC address.
func (o *owner) claims(tb testing.TB) [][]byte {
	tb.Helper()
	o.next++
	number := byte(o.key[0])
	u, err := o.directory.Claim(netip.AddrFrom4([4]byte{10, number, byte(o.next >> 8), byte(o.next)}), MAC{2, 1, number, 0, byte(o.next >> 8), byte(o.next)}, time.Now())
	if err != nil {
		tb.Fatal(err)
	}
	return u.Announce
}

// still returns a node that does not run.
func still(tb testing.TB, f Fabric) *Node {
	tb.Helper()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	book, err := member.Open(member.Config{Dir: tb.TempDir(), Key: key, Log: (&lines{}).entry()})
	if err != nil {
		tb.Fatal(err)
	}
	return New(Config{Overlay: labOverlay, Key: key, Book: book, Fabric: f, Log: (&lines{}).entry()})
}

// join makes a node know a member that it can reach.
func join(tb testing.TB, n *Node, number byte) *owner {
	tb.Helper()
	o := newOwner(tb, number)
	n.members[o.id] = member.Member{JID: jidOf(int(number)), Node: o.id, Key: identity.Public(o.key)}
	n.directory.NodeReachable(o.id, time.Now())
	return o
}

// stock makes a node know as many keys.
func stock(tb testing.TB, n *Node, keys int) {
	tb.Helper()
	var all [][]byte
	for number := byte(1); len(all) < keys; number++ {
		o := join(tb, n, number)
		for range min(keys-len(all), directory.MaxClaims) / 2 {
			all = append(all, o.claims(tb)...)
		}
	}
	for _, r := range all {
		result, err := n.directory.Apply(r, time.Now(), n.keyOf)
		if err != nil {
			tb.Fatal(err)
		}
		n.directoryChanged(result.Update, time.Now())
	}
	n.pending = nil
	if known := len(n.table.Entries()); known != keys {
		tb.Fatalf("%d keys are known, want %d", known, keys)
	}
}

// toldFabric takes what has changed.
type toldFabric struct {
	Fabric
	calls, changes int
}

func (f *toldFabric) DirectoryChanged(c []Change) {
	f.calls++
	f.changes += len(c)
}

// spent is what a record costs: the middle of all times, and the mean of what is allocated.
type spent struct {
	time           time.Duration
	allocs, memory float64
}

func measure(records [][]byte, do func([]byte)) spent {
	var before, after runtime.MemStats
	times := make([]time.Duration, 0, len(records))
	runtime.GC()
	runtime.ReadMemStats(&before)
	for _, r := range records {
		began := time.Now()
		do(r)
		times = append(times, time.Since(began))
	}
	runtime.ReadMemStats(&after)
	slices.Sort(times)
	count := float64(len(records))
	return spent{times[len(times)/2], float64(after.Mallocs-before.Mallocs) / count, float64(after.TotalAlloc-before.TotalAlloc) / count}
}

// costOfRecord measures records that each change the table, with the fabric told of each,
// apart from what it takes to check a signature.
func costOfRecord(tb testing.TB, n *Node, from *owner, f *toldFabric) spent {
	tb.Helper()
	p := &peer{member: n.members[from.id], records: rate.NewLimiter(recordRate, 1<<20)}
	var records [][]byte
	for range 60 {
		for _, r := range from.claims(tb) {
			records = append(records, append(binary.BigEndian.AppendUint16(nil, uint16(len(r))), r...))
		}
	}
	f.changes = 0
	all := measure(records, func(r []byte) {
		now := time.Now()
		n.announced(p, p.serving, r, now)
		n.published = time.Time{}
		n.publish(now)
	})
	if f.changes < len(records) {
		tb.Fatalf("%d changes of %d records", f.changes, len(records))
	}
	key := identity.Public(from.key)
	check := measure(records, func(r []byte) { ed25519.Verify(key, r, r[len(r)-ed25519.SignatureSize:]) })
	return spent{max(all.time-check.time, time.Microsecond), all.allocs - check.allocs, all.memory - check.memory}
}

// A record costs the same in a large directory as in a small one.
func TestRecordCostsTheSameInALargeDirectory(t *testing.T) {
	var few, many toldFabric
	small, large := still(t, &few), still(t, &many)
	stock(t, small, fewKeys)
	stock(t, large, manyKeys)
	a, b := join(t, small, 100), join(t, large, 100)
	best := 1e9
	for range 3 {
		x, y := costOfRecord(t, small, a, &few), costOfRecord(t, large, b, &many)
		t.Logf("beside %d keys %+v, beside %d keys %+v", fewKeys, x, manyKeys, y)
		best = min(best, float64(y.time)/float64(x.time))
		if y.allocs > 16 || y.memory > 6<<10 { // of 50 and 10 KiB, with the driver's table and the flows
			t.Errorf("%.0f allocations and %.0f bytes for a record", y.allocs, y.memory)
		}
	}
	if best > 2 {
		t.Errorf("%.1f times what it costs in a small directory", best)
	}
}
