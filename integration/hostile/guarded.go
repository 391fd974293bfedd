//go:build e2e

package hostile

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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

// pinged reports whether an address answers a container within a time.
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
