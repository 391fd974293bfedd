//go:build e2e

package hostile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"evio/integration/scenario"
	"evio/integration/testbed"
)

// The guards of a network, and the networks that have them at all three sites. The second is
// the default.
var guards = []guardedNetwork{
	{scenario.Network{Name: "strict", Overlay: "strict", Net: 71, Args: []string{"-o", "evio.guard=strict"}}, "strict"},
	{scenario.Network{Name: "claim", Overlay: "claim", Net: 72}, "claim"},
	{scenario.Network{Name: "open", Overlay: "open", Net: 73, Args: []string{"-o", "evio.guard=open"}}, "open"},
}

type guardedNetwork struct {
	scenario.Network
	guard string
}

// vips is the network in which keepalived moves addresses; its guard is the default.
var vips = scenario.Network{Name: "vips", Overlay: "vips", Net: 74}

// guarded is three sites whose containers do more than Docker knows of.
type guarded struct {
	*scenario.Deployment
	a, b, c *scenario.Site
	pairs   *guardedPairs // of the case "vips"
}

// TestGuard: containers that give themselves addresses, route, are machines of their own or
// give addresses to others, in networks of each guard. What is allowed works from every site;
// what is not gets nothing and is counted. All cases share three sites and run at once, so
// that bounds of time are three times what is promised where only the load of the machine
// decides.
func TestGuard(t *testing.T) {
	g := newGuarded(t)
	t.Run("at once", func(t *testing.T) {
		t.Run("vips", func(t *testing.T) { t.Parallel(); g.vips(t) })
		t.Run("no addresses of Docker's", func(t *testing.T) { t.Parallel(); g.nullIPAM(t) })
		for _, n := range guards {
			t.Run(n.guard, func(t *testing.T) {
				t.Parallel()
				w := g.populate(t, n)
				t.Run("own address", w.ownAddress)
				t.Run("routing", w.routing)
				t.Run("exit node", w.exitNode)
				t.Run("DHCP", w.dhcp)
				t.Run("macvlan", w.macvlan)
				t.Run("virtual machine", w.virtualMachine)
				t.Run("theft", w.theft)
			})
		}
	})
	// The last, since its site does not come back.
	t.Run("power off", g.powerOff)
}

func newGuarded(t *testing.T) *guarded {
	t.Helper()
	d := scenario.StartFederation(t)
	g := &guarded{Deployment: d, a: d.Sites[0], b: d.Sites[1], c: d.Sites[2]}
	for _, s := range d.Sites {
		if err := copyCommand(s); err != nil {
			t.Fatal(err)
		}
	}
	group, ctx := errgroup.WithContext(scenario.Within(t, 2*time.Minute))
	for _, n := range append([]guardedNetwork{{vips, ""}}, guards...) {
		group.Go(func() error { return d.Create(ctx, n.Network) })
	}
	// The other side of routers: a network of one engine, that is not evio's.
	group.Go(func() error {
		_, err := g.a.Docker(ctx, "network", "create", "-d", "bridge", "--ipv6", "--subnet", "10.91.0.0/24", "--subnet", "fd00:91::/64", "behind")
		return err
	})
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	g.start(t, g.a, behind, "behind", "sh", "-c", "ip address add "+farAway4+"/32 dev lo; ip address add "+farAway6+"/128 dev lo; exec sleep infinity")
	for _, n := range append([]guardedNetwork{{vips, ""}}, guards...) {
		if err := d.WaitSessions(scenario.Within(t, time.Minute), n.Name); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

// copyCommand puts evio's command where the site's host finds it.
func copyCommand(s *scenario.Site) error {
	program, err := os.ReadFile(filepath.Join(scenario.Bundle, "rootfs/bin/evio"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.Shared(), "evio"), program, 0o755)
}

// start runs a container that is there until the lab ends, with a shell's programs and those
// of the host. The arguments of docker run are before the word "--", the command behind it.
func (g *guarded) start(t *testing.T, s *scenario.Site, container, network string, args ...string) scenario.Spot {
	t.Helper()
	if err := s.RunContainer(scenario.Within(t, time.Minute), container, network, withPrograms(args...)...); err != nil {
		t.Fatal(err)
	}
	return spotOf(t, s, container)
}

// withPrograms makes the arguments of a container of the test image that finds the host's
// programs, such as keepalived: OPTION... -- COMMAND, or COMMAND alone.
func withPrograms(args ...string) []string {
	i := slices.Index(args, "--")
	return slices.Concat([]string{"-v", "/usr:/usr:ro"}, args[:max(i, 0)], []string{testbed.Image}, args[i+1:])
}

// spotOf looks a container up, whatever networks it has.
func spotOf(t *testing.T, s *scenario.Site, container string) scenario.Spot {
	t.Helper()
	var pid int
	if _, err := fmt.Sscan(scenario.Docker(t, s, "inspect", "--format", "{{.State.Pid}}", container), &pid); err != nil || pid == 0 {
		t.Fatalf("site %s: container %s does not run: %v", s.Name(), container, err)
	}
	return scenario.Spot{Site: s, Container: container, PID: pid}
}

// mustScript runs a shell script of the site's host in the network namespace of a container.
func mustScript(t *testing.T, s scenario.Spot, text string) {
	t.Helper()
	_, err := s.Site.Run(scenario.Within(t, 30*time.Second), "nsenter", "--target", strconv.Itoa(s.PID), "--net", "sh", "-euc", text)
	if err != nil {
		t.Fatalf("container %s: %v", s.Container, err)
	}
}

// pinged tells whether an address answers a container within a time.
func pinged(ctx context.Context, from scenario.Spot, patience time.Duration, to string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return scenario.Await(ctx, func() error {
		command := slices.Concat([]string{"nsenter", "--target", strconv.Itoa(from.PID), "--net", "ping", "-q", "-n", "-c", "1", "-W", "1"}, args, []string{to})
		_, err := from.Site.Run(ctx, command...)
		return err
	})
}

// answeringSoon is within how long something that is allowed must work, under load.
const answeringSoon = 10 * time.Second

// refusals sums what the sites count of frames that their senders may not send.
func (w *guardWorld) refusals(t *testing.T) (sum uint64) {
	t.Helper()
	for _, s := range w.Sites {
		n, err := s.NetworkStatus(scenario.Within(t, 10*time.Second), w.n.Name)
		if err != nil {
			t.Fatal(err)
		}
		for name, count := range n.Drops {
			if strings.HasPrefix(name, "bridge-") || strings.HasPrefix(name, "claim-") || slices.Contains([]string{"malformed", "source-not-owned", "address-not-owned", "router-or-dhcp"}, name) {
				sum += count
			}
		}
	}
	return sum
}

// works has each address answer, or where it may not, sees that none does and that the site
// at which it ends counts that. Whoever asks for what is refused has as long as an answer
// takes, three times.
func (w *guardWorld) works(t *testing.T, allowed bool, from scenario.Spot, to []string, args ...string) {
	t.Helper()
	if allowed {
		for _, address := range to {
			began := time.Now()
			if err := pinged(t.Context(), from, answeringSoon, address, args...); err != nil {
				t.Errorf("%s has no answer from %s: %v", from.Container, address, err)
				continue
			}
			t.Logf("%s has an answer from %s after %v", from.Container, address, time.Since(began).Round(time.Millisecond))
		}
		return
	}
	before := w.refusals(t)
	for _, address := range to {
		if pinged(t.Context(), from, 2*time.Second, address, args...) == nil {
			t.Errorf("%s has an answer from %s, with guard %s", from.Container, address, w.n.guard)
		}
	}
	w.counted(t, before)
}

// counted waits until more is refused than before.
func (w *guardWorld) counted(t *testing.T, before uint64) {
	t.Helper()
	err := scenario.Await(scenario.Within(t, 10*time.Second), func() error {
		if w.refusals(t) == before {
			return errors.New("no site counts what is refused")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// hearing is who has answered for an address, as probe name-ask prints it.
type hearing struct {
	Address string `json:"address"`
	Name    string `json:"name"`
	At      int64  `json:"at"`
	Silent  int64  `json:"silent_ms"`
}

func (h hearing) at() time.Time { return time.Unix(0, h.At) }

// hearings reads what an asker has printed so far.
func hearings(j scenario.Job) ([]hearing, error) {
	out, err := os.ReadFile(j.Log())
	if err != nil {
		return nil, err
	}
	var all []hearing
	for line := range strings.Lines(string(out)) {
		var h hearing
		if !strings.HasSuffix(line, "\n") {
			break // it is being written
		}
		if err := json.Unmarshal([]byte(line), &h); err != nil {
			return nil, fmt.Errorf("%s printed %q: %w", j.Name, line, err)
		}
		all = append(all, h)
	}
	return all, nil
}

// asking asks addresses all the time, from a container, who has them.
func asking(t *testing.T, from scenario.Spot, addresses ...string) scenario.Job {
	t.Helper()
	p, err := from.Site.Start(scenario.Within(t, 10*time.Second), from.Container+"-asks-"+strconv.FormatInt(time.Now().UnixNano(), 10),
		from.Inside(append([]string{"probe", "name-ask"}, addresses...)...)...)
	if err != nil {
		t.Fatal(err)
	}
	return scenario.Job{Process: p, Name: from.Container}
}

// holder is who answered last for an address.
func holder(all []hearing, address string) (last hearing, err error) {
	for _, h := range all {
		if h.Address == address {
			last = h
		}
	}
	if last.Name == "" {
		err = errors.New("nobody answers for " + address)
	}
	return last, err
}
