//go:build e2e

package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"evio/driver/status"
	"evio/integration/scenario"
)

// testAddresses: one address at two sites. The site that has it keeps it, and the error at the other one says
// why. Whoever is left takes it over. The overlay has its default name, with which each site
// gives the address another MAC address.
func testAddresses(t *testing.T, d *scenario.Deployment) {
	began := time.Now()
	n := scenario.Network{Name: "addresses", Net: 47}
	scenario.StartOverlay(t, d, n)
	a, b, c := d.Sites[0], d.Sites[1], d.Sites[2]

	t.Run("taken and free again", func(t *testing.T) {
		const addr = "10.47.200.1"
		taken(t, n, a, b, addr)
		awaitOwner(t, n, addr, a, c)
		scenario.Exec(t, c, scenario.ContainerName(c, n), "ping", "-c", "1", "-W", "3", addr)

		scenario.Docker(t, a, "rm", "-f", "first")
		gone := time.Now()
		awaitOwner(t, n, addr, nil, b)
		free := time.Since(gone)
		scenario.StartContainer(t, b, "second", n.Name, "--ip", addr)
		runs := time.Now()
		reaches(t, c, n, addr, 2*time.Second)
		t.Logf("free at b after %v, c reaches the new container %v after its start", free.Round(time.Millisecond), time.Since(runs).Round(time.Millisecond))
	})
	t.Run("partition", func(t *testing.T) { conflictOfPartition(t, d, n) })
	t.Run("ranges", func(t *testing.T) { overlappingRanges(t, d) })
	t.Logf("all of it took %v", time.Since(began).Round(time.Millisecond))
}

// taken gives an address to a container named first, and sees that another site refuses it and the
// container's MAC address with a sentence that names the owner.
func taken(t *testing.T, n scenario.Network, owner, other *scenario.Site, addr string) {
	t.Helper()
	scenario.StartContainer(t, owner, "first", n.Name, "--ip", addr)
	awaitOwner(t, n, addr, owner, owner, other)
	scenario.Exec(t, other, scenario.ContainerName(other, n), "ping", "-c", "1", "-W", "3", addr)
	mac := strings.TrimSpace(scenario.Exec(t, owner, "first", "cat", "/sys/class/net/eth0/address"))
	for what, args := range map[string][]string{"address " + addr: {"--ip", addr}, "MAC address " + mac: {"--mac-address", mac}} {
		err := other.RunContainer(scenario.Within(t, 30*time.Second), "second", n.Name, args...)
		scenario.Docker(t, other, "rm", "-f", "second")
		if err == nil {
			t.Fatalf("two containers have one %s", what)
		}
		t.Log(err)
		for _, part := range []string{": " + what + " belongs to ", owner.Account.JID, "at site " + owner.Name()} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q does not name %s", err, part)
			}
		}
	}
}

// conflictOfPartition cuts a off while b gives an address of a's to a container.
func conflictOfPartition(t *testing.T, d *scenario.Deployment, n scenario.Network) {
	const addr = "10.47.200.2"
	a, b, c := d.Sites[0], d.Sites[1], d.Sites[2]
	scenario.StartContainer(t, a, "loser", n.Name, "--ip", addr)
	awaitOwner(t, n, addr, a, b, c)
	scenario.Exec(t, c, scenario.ContainerName(c, n), "ping", "-c", "1", "-W", "3", addr)

	drop, err := a.Router.DropAll(scenario.Within(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	cut, healed := time.Now(), false
	heal := func() error {
		healed = true
		return drop.Undo(context.WithoutCancel(t.Context()))
	}
	t.Cleanup(func() {
		if !healed {
			if err := heal(); err != nil {
				t.Error(err)
			}
		}
	})
	t.Cleanup(func() { _, _ = b.Docker(context.WithoutCancel(t.Context()), "rm", "-f", "winner") })
	scenario.UntilContext(t, 20*time.Second, func(ctx context.Context) error {
		_, _ = b.Docker(ctx, "rm", "-f", "winner")
		return b.RunContainer(ctx, "winner", n.Name, "--ip", addr)
	})
	t.Logf("b has the address %v after the cut", time.Since(cut).Round(time.Millisecond))
	reaches(t, c, n, addr, 2*time.Second)

	stop := steadyPing(t, c, n, addr)
	healing := time.Now()
	if err := heal(); err != nil {
		t.Fatal(err)
	}
	var lost status.Conflict
	scenario.UntilContext(t, 30*time.Second, func(ctx context.Context) error {
		all, err := conflicts(ctx, a, n)
		if err == nil && len(all) != 1 {
			err = fmt.Errorf("a shows %d conflicts", len(all))
		}
		if err == nil {
			lost = all[0]
		}
		return err
	})
	t.Logf("a shows the conflict %v after the cut was mended: %+v", time.Since(healing).Round(time.Millisecond), lost)
	if lost.Address != addr || lost.JID != b.Account.JID || lost.Site != b.Name() || lost.Since.Before(healing.Add(-time.Second)) {
		t.Errorf("the conflict is not what happened")
	}
	third, third6 := scenario.Addresses(t, c, scenario.ContainerName(c, n), n.Name)
	scenario.UntilContext(t, 5*time.Second, func(ctx context.Context) error { // the flows follow the directory
		_, err := a.Exec(ctx, "loser", "ping", "-c", "1", "-W", "1", "-I", addr, third)
		if err == nil {
			return errors.New("the loser sends from the address")
		}
		return nil
	})
	before := echoes(t, a)
	scenario.Exec(t, a, scenario.ContainerName(a, n), "ping", "-c", "3", "-i", "0.2", "-W", "2", addr)
	if after := echoes(t, a); after != before {
		t.Errorf("the loser got %d echo requests", after-before)
	}
	scenario.Exec(t, a, "loser", "ping", "-c", "1", "-W", "3", third6) // its other address is its own
	if sent, received := stop(); sent != received || sent < 20 {
		t.Errorf("the owner was disturbed: %d of %d answers", received, sent)
	} else {
		t.Logf("c got all of %d answers meanwhile", received)
	}
	if all, err := conflicts(scenario.Within(t, 5*time.Second), b, n); err != nil || len(all) > 0 {
		t.Errorf("b shows %+v, %v", all, err)
	}
	logged(t, d, a, addr+" with MAC address", 1)

	scenario.Docker(t, b, "rm", "-f", "winner")
	gone := time.Now()
	before = echoes(t, a)
	reaches(t, c, n, addr, 2*time.Second)
	t.Logf("c reaches a's container %v after b's was removed", time.Since(gone).Round(time.Millisecond))
	if echoes(t, a) == before {
		t.Error("somebody else has answered")
	}
	if all, err := conflicts(scenario.Within(t, 5*time.Second), a, n); err != nil || len(all) > 0 {
		t.Errorf("a still shows %+v, %v", all, err)
	}
	again := addr + " is this engine's again"
	scenario.Until(t, 75*time.Second, func() error { // one key is logged once a minute
		log, err := os.ReadFile(filepath.Join(d.Lab.LogDir(), a.Name()+"-dockerd.log"))
		if err == nil && !strings.Contains(string(log), again) {
			err = fmt.Errorf("a has not logged %q", again)
		}
		return err
	})
	logged(t, d, a, again, 1)
}

// overlappingRanges has two sites hand out the same addresses.
func overlappingRanges(t *testing.T, d *scenario.Deployment) {
	a, b := d.Sites[0], d.Sites[1]
	create := func(s *scenario.Site, args ...string) {
		t.Helper()
		scenario.Docker(t, s, append(append([]string{"network", "create", "-d", "evio", "-o", "evio.overlay=ranges", "--subnet", "10.48.0.0/24"}, args...), "ranges")...)
		t.Cleanup(func() { _, _ = s.Docker(context.WithoutCancel(t.Context()), "network", "rm", "ranges") })
	}
	create(a)
	create(b, "--ip-range", "10.48.0.128/25")
	began := time.Now()
	for s, other := range map[*scenario.Site]*scenario.Site{a: b, b: a} {
		scenario.UntilContext(t, 20*time.Second, func(ctx context.Context) error {
			doc, err := s.Status(ctx)
			if err != nil {
				return err
			}
			text := strings.Join(doc.Faults, "\n")
			for _, part := range []string{"overlay ranges", "site " + s.Name(), other.Account.JID, "at site " + other.Name(), "10.48.0.0/24", "10.48.0.128/25", "--ip-range"} {
				if !strings.Contains(text, part) {
					return fmt.Errorf("the faults of %s do not name %s: %q", s.Name(), part, text)
				}
			}
			return nil
		})
		logged(t, d, s, "overlay ranges: site "+s.Name()+" hands out", 1)
	}
	doc := scenario.Document(t, a)
	t.Logf("after %v: %q", time.Since(began).Round(time.Millisecond), doc.Faults)
	for _, m := range scenario.OverlayIn(doc, "ranges").Members {
		if m.JID == b.Account.JID && m.Site != b.Name() {
			t.Errorf("a shows b's site as %q", m.Site)
		}
	}
	scenario.Docker(t, b, "network", "rm", "ranges")
	// One subnet within the other: a site without a common one would be a fault of its own.
	scenario.Docker(t, b, "network", "create", "-d", "evio", "-o", "evio.overlay=ranges", "--subnet", "10.48.0.0/16", "--ip-range", "10.48.1.0/24", "ranges")
	scenario.UntilContext(t, 20*time.Second, func(ctx context.Context) error {
		doc, err := a.Status(ctx)
		if err == nil && len(doc.Faults) > 0 {
			err = fmt.Errorf("still there: %q", doc.Faults)
		}
		return err
	})
}
