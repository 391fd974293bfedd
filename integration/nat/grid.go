//go:build e2e

package nat

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"golang.org/x/sync/errgroup"

	"evio/driver/status"
	"evio/integration/scenario"
	"evio/integration/testbed"
)

// gridResult is what TestNATGrid measured, for docs/figures.
var gridResult = scenario.Repository("dist/natgrid.json")

// Limits of the medians over all cells, until both sessions are established: from the
// first that opened, and from the calls of CreateNetwork.
const (
	directLimit  = 1500 * time.Millisecond
	relayedLimit = 6 * time.Second
)

// gridKinds are the rows and columns of the grid.
var gridKinds = []testbed.NAT{
	testbed.PortRestricted, testbed.Symmetric, testbed.UDPBlocked, testbed.None, testbed.DoubleNAT, testbed.IPv6Only,
}

// wantedWay is how two sites of these kinds reach each other: direct, or through the TURN server,
// then by its transport. An end that can use UDP does.
func wantedWay(a, b testbed.NAT) string {
	const direct = "direct"
	kinds := []testbed.NAT{a, b}
	switch {
	case slices.Contains(kinds, testbed.UDPBlocked):
		return "tcp"
	case (a == testbed.IPv6Only) != (b == testbed.IPv6Only): // no family of addresses that both have
		return "udp"
	case slices.Contains(kinds, testbed.Symmetric) && !slices.Contains(kinds, testbed.None):
		return "udp"
	}
	return direct
}

// cell is a pair of sites with an overlay of its own.
type cell struct {
	A       string  `json:"a"` // kinds of NAT
	B       string  `json:"b"`
	Way     string  `json:"way"`        // direct, or the transport to the TURN server
	SetUp   float64 `json:"set_up_ms"`  // from the first session that opened to both that are established
	Create  float64 `json:"created_ms"` // the same from the calls of CreateNetwork
	overlay scenario.Overlay
	a, b    *scenario.Site
}

// grid is a deployment with a recording at each router.
type grid struct {
	*scenario.Deployment
	captures map[*scenario.Site]*testbed.Capture
}

func newGrid(t *testing.T, sites []testbed.SiteConfig, change ...scenario.Change) *grid {
	t.Helper()
	lab := testbed.StartSites(t, testbed.Options{}, sites...)
	d, err := scenario.Standalone(scenario.Within(t, 2*time.Minute), lab, change...)
	if err != nil {
		t.Fatal(err)
	}
	return record(t, d)
}

// record begins the recordings.
func record(t *testing.T, d *scenario.Deployment) *grid {
	t.Helper()
	g := &grid{d, map[*scenario.Site]*testbed.Capture{}}
	for _, s := range d.Sites {
		var err error
		if g.captures[s], err = s.Router.Capture(scenario.Within(t, 10*time.Second), "wan", "udp or tcp port 3478 or tcp port 5349"); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

// check sets the cell's overlay up, looks at it from all sides, and takes it down.
func (g *grid) check(t *testing.T, c *cell) {
	created := time.Now()
	if err := c.each(scenario.Within(t, 30*time.Second), func(ctx context.Context, s *scenario.Site) error { return s.Join(ctx, c.overlay) }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.each(context.WithoutCancel(t.Context()), func(ctx context.Context, s *scenario.Site) error { return s.Quit(ctx, c.overlay) }); err != nil {
			t.Error(err)
		}
	})
	sessions := c.await(t)
	opened, established := sessions[0].Opened, sessions[0].Established
	if o := sessions[1].Opened; o.Before(opened) {
		opened = o
	}
	if e := sessions[1].Established; e.After(established) {
		established = e
	}
	c.SetUp, c.Create = millis(established.Sub(opened)), millis(established.Sub(created))
	t.Logf("%s, set up in %.0f ms, %.0f ms from CreateNetwork", c.Way, c.SetUp, c.Create)

	for _, to := range c.overlay.Addresses(c.b) {
		if out, err := c.a.InNamespace(scenario.Within(t, 20*time.Second), c.overlay.Name, "ping", "-c", "5", "-s", fmt.Sprint(scenario.FrameSize), "-i", "0.1", "-W", "2", to.String()); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
	g.checkPath(t, c)
}

// checkPath looks at the cell's path by status and by capture.
func (g *grid) checkPath(t *testing.T, c *cell) {
	t.Helper()
	ends, err := c.sessions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range []*scenario.Site{c.a, c.b} {
		checkWay(t, c, s, ends[i])
	}
	if c.Way != "direct" && !c.relayedAt(t, c.b, ends[0]) && !c.relayedAt(t, c.a, ends[1]) {
		t.Errorf("neither path has a relay that is reached by %s: %+v, %+v", c.Way, ends[0].Path, ends[1].Path)
	}
	g.checkTraffic(t, c)
}

// relayedAt reports whether one end's path has a relay that is reached by the wanted transport: its own,
// or that of the far site, to which it sends.
func (c *cell) relayedAt(t *testing.T, far *scenario.Site, end status.Session) bool {
	t.Helper()
	if end.Path.RelayTransport == c.Way {
		return true
	}
	uri := map[string][2]string{"udp": {"turn:", "=udp"}, "tcp": {"turn:", "=tcp"}, "tls": {"turns:", ""}}[c.Way]
	return end.Path.RemoteType == "relay" && slices.ContainsFunc(scenario.Document(t, far).Transport.Relays, func(r status.Relay) bool {
		return r.Allocations > 0 && strings.HasPrefix(r.URI, uri[0]) && strings.Contains(r.URI, uri[1])
	})
}

// each does something at both sites at once.
func (c *cell) each(ctx context.Context, f func(context.Context, *scenario.Site) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return f(ctx, c.a) })
	group.Go(func() error { return f(ctx, c.b) })
	return group.Wait()
}

// await returns both ends of the cell's session once they are established.
func (c *cell) await(t *testing.T) (ends [2]status.Session) {
	t.Helper()
	err := scenario.Await(scenario.Within(t, 40*time.Second), func() (err error) {
		ends, err = c.sessions(t.Context())
		for i, s := range ends {
			if err == nil && s.State != "established" {
				err = fmt.Errorf("end %d is %s", i, s.State)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return ends
}

func (c *cell) sessions(ctx context.Context) (ends [2]status.Session, err error) {
	for i, s := range []*scenario.Site{c.a, c.b} {
		n, err := s.NetworkStatus(ctx, c.overlay.Name)
		if err != nil {
			return ends, err
		}
		if len(n.Sessions) != 1 {
			return ends, fmt.Errorf("site %s has %d sessions in %s", s.Name(), len(n.Sessions), c.overlay.Name)
		}
		ends[i] = n.Sessions[0]
	}
	return ends, nil
}

// checkWay compares what the status document says of one end with what is wanted.
func checkWay(t *testing.T, c *cell, s *scenario.Site, end status.Session) {
	t.Helper()
	kind := "relay"
	if c.Way == "direct" {
		kind = "direct"
	}
	if end.Path.Kind != kind {
		t.Errorf("%s: the path is %q, want %q: %+v", s.Name(), end.Path.Kind, kind, end.Path)
	}
	checkCandidates(t, s, end)
	blocked := s.Router.NAT() == testbed.UDPBlocked
	switch used := end.Path.RelayTransport; {
	case kind == "direct" && used != "",
		kind == "relay" && used != "" && used != c.Way && (blocked || used != "udp"):
		t.Errorf("%s: the relay is reached by %q, want %q: %+v", s.Name(), used, c.Way, end.Path)
	case blocked && used == "":
		t.Errorf("%s: UDP is blocked, and yet it uses no relay of its own: %+v", s.Name(), end.Path)
	}
}

// checkCandidates: the candidates of both ends are lines of RFC 8839, and the far end of the path
// is one of them, unless only packets have shown it.
func checkCandidates(t *testing.T, s *scenario.Site, end status.Session) {
	t.Helper()
	for _, line := range slices.Concat(end.Candidates, end.PeerCandidates) {
		if _, err := ice.UnmarshalCandidate(line); err != nil || !strings.HasPrefix(line, "candidate:") {
			t.Errorf("%s: %q is no candidate: %v", s.Name(), line, err)
		}
	}
	remote, err := netip.ParseAddrPort(end.Path.Remote)
	if err != nil {
		t.Fatal(err)
	}
	told := fmt.Sprintf(" %s %d typ %s", remote.Addr(), remote.Port(), end.Path.RemoteType)
	if len(end.Candidates) == 0 || end.Path.RemoteType != "prflx" &&
		!slices.ContainsFunc(end.PeerCandidates, func(line string) bool { return strings.Contains(line, told) }) {
		t.Errorf("%s: own candidates %q; the peer's are %q, want%s among them", s.Name(), end.Candidates, end.PeerCandidates, told)
	}
}

// checkTraffic looks for the cell's packets in what passed the routers: records with
// frames between the two sites, or none of them and packets of the TURN server.
func (g *grid) checkTraffic(t *testing.T, c *cell) {
	t.Helper()
	relayed := 0
	for _, ends := range [][2]*scenario.Site{{c.a, c.b}, {c.b, c.a}} {
		s, far := ends[0], ends[1]
		seen, err := scenario.ReadTraffic(g.captures[s].File(), netip.AddrPort{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		between := seen.Frames[far.Router.Outside()]
		if direct := between > 0; direct != (c.Way == "direct") {
			t.Errorf("%s: %d records with frames between the routers, want %s", s.Name(), between, c.Way)
		}
		relayed += seen.Relayed[c.Way]
		if s.Router.NAT() == testbed.UDPBlocked && (len(seen.Peers) > 0 || seen.Relayed["udp"] > 0) {
			t.Errorf("%s: UDP passes: %+v", s.Name(), seen)
		}
	}
	if (c.Way != "direct") && relayed == 0 {
		t.Errorf("no packet to the TURN server by %s", c.Way)
	}
}

// judge prints the grid and checks the medians.
func judge(t *testing.T, cells []*cell) {
	t.Helper()
	type times struct{ setUp, create []float64 }
	all := map[bool]*times{true: {}, false: {}}
	var table strings.Builder
	for _, c := range cells {
		seen := all[c.Way == "direct"]
		seen.setUp, seen.create = append(seen.setUp, c.SetUp), append(seen.create, c.Create)
		fmt.Fprintf(&table, "\n%-16s %-16s %-7s %6.0f ms %6.0f ms", c.A, c.B, c.Way, c.SetUp, c.Create)
	}
	t.Logf("set-up, and from CreateNetwork:%s", table.String())
	for direct, limit := range map[bool]time.Duration{true: directLimit, false: relayedLimit} {
		for what, seen := range map[string][]float64{"set-up": all[direct].setUp, "time from CreateNetwork": all[direct].create} {
			slices.Sort(seen)
			median := seen[len(seen)/2]
			t.Logf("direct: %v, median %s %.0f ms of %d cells", direct, what, median, len(seen))
			if median > millis(limit) {
				t.Errorf("direct: %v, median %s %.0f ms, want at most %v", direct, what, median, limit)
			}
		}
	}
}

// keep writes the result for docs/figures.
func keep(t *testing.T, cells []*cell) {
	t.Helper()
	b, err := json.MarshalIndent(cells, "", "  ")
	if err == nil {
		err = cmp.Or(os.MkdirAll(filepath.Dir(gridResult), 0o755), os.WriteFile(gridResult, append(b, '\n'), 0o644))
	}
	if err != nil {
		t.Error(err)
	}
}

func millis(d time.Duration) float64 { return float64(d.Round(time.Millisecond).Milliseconds()) }
