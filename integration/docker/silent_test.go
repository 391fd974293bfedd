//go:build e2e

package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"evio/integration/scenario"
	"evio/integration/testbed"
)

// TestNothingSilent: whatever keeps frames from arriving is counted where they are lost,
// and evio status at both sites says what it is and what to do, with exit code 3, until it
// is mended.
func TestNothingSilent(t *testing.T) {
	if _, err := os.Stat(filepath.Join(scenario.Bundle, "rootfs")); err != nil {
		t.Fatalf("no plugin at %s: run make plugin first", scenario.Bundle)
	}
	lab := testbed.Start(t, testbed.SiteConfig{Name: "a"}, testbed.SiteConfig{Name: "b"})
	deployed, err := scenario.Deploy(scenario.Within(t, time.Minute), lab, scenario.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	d := silent{deployed}
	program, err := os.ReadFile(filepath.Join(scenario.Bundle, "rootfs/bin/evio"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range d.Sites {
		if err := os.WriteFile(filepath.Join(s.Shared(), "evio"), program, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	n := scenario.Network{Name: "silent", Overlay: "silent", Net: 50}
	scenario.StartOverlay(t, deployed, n)
	d.healthy(t, 20*time.Second)

	t.Run("IPv4 subnet", func(t *testing.T) { d.noCommonSubnet(t, "IPv4", [2]int{52, 53}, [2]int{52, 52}) })
	t.Run("IPv6 subnet", func(t *testing.T) { d.noCommonSubnet(t, "IPv6", [2]int{54, 54}, [2]int{}) })
	t.Run("name", d.namesOfNoOverlay)
	t.Run("note", d.overlayOfNobody)
	// From here on frames are lost, which is a fault for a minute.
	mtu := t.Run("MTU", d.differentMTU)
	limit := t.Run("own limit", func(t *testing.T) { d.ownLimit(t, n) })
	burst := t.Run("burst", func(t *testing.T) { d.burst(t, n) })
	last := time.Now()
	t.Run("path", func(t *testing.T) { d.narrowPath(t, n) })
	if mtu && limit && burst {
		d.healthy(t, lossStands+20*time.Second)
		if early := lossStands - 10*time.Second - time.Since(last); early > 0 {
			t.Errorf("the losses were a fault for too short a time: %v", early)
		}
	}
}

// differentMTU: one site has another MTU; its large frames are lost where the smaller is.
func (d silent) differentMTU(t *testing.T) {
	large := append(subnets(1, 51, 51), "-o", "com.docker.network.driver.mtu=9000")
	removeSecond := d.unlike(t, "mtu", [2][]string{subnets(0, 51, 51), large})
	d.both(t, 10*time.Second, "overlay mtu: the network's MTU is", "at THERE", "so packets of more than 1400 bytes are lost", "-o com.docker.network.driver.mtu=BYTES")
	a, b := d.Sites[0], d.Sites[1]
	there, _ := scenario.Addresses(t, a, "a-mtu", "mtu")
	if _, err := b.Exec(scenario.Within(t, 20*time.Second), "b-mtu", "ping", "-c", "3", "-i", "0.2", "-W", "1", "-s", "5000", there); err == nil {
		t.Error("frames of 5000 bytes pass")
	}
	if dropped(t, a, "mtu", "tap-length") == 0 {
		t.Errorf("frames that are too long are not counted: %+v", scenario.Document(t, a).Networks)
	}
	d.says(t, a, 10*time.Second, 3, "(tap-length)")
	removeSecond()
	d.gone(t, "the network's MTU is")
}

// noCommonSubnet: what one site's subnet of a family has, the other's has not.
func (d silent) noCommonSubnet(t *testing.T, family string, v4, v6 [2]int) {
	name := strings.ToLower(family)
	removeSecond := d.unlike(t, name, [2][]string{subnets(0, v4[0], v6[0]), subnets(1, v4[1], v6[1])})
	d.both(t, 10*time.Second, "overlay "+name+": the network's "+family+" subnet is", "at THERE",
		"so their containers do not reach each other by "+family, "--subnet")
	for _, s := range d.Sites {
		if dropped(t, s, name, "directory-record") == 0 {
			t.Errorf("site %s does not count the announcements that it refuses", s.Name())
		}
	}
	removeSecond()
	d.healthy(t, 20*time.Second)
}

// gone waits until no fault of either site has a text.
func (d silent) gone(t *testing.T, text string) {
	t.Helper()
	for _, s := range d.Sites {
		scenario.Until(t, 20*time.Second, func() error {
			if faults := strings.Join(scenario.Document(t, s).Faults, "\n"); strings.Contains(faults, text) {
				return fmt.Errorf("site %s: %s", s.Name(), faults)
			}
			return nil
		})
	}
}

// namesOfNoOverlay: networks that their names keep from other sites.
func (d silent) namesOfNoOverlay(t *testing.T) {
	for _, s := range d.Sites {
		scenario.Docker(t, s, "network", "create", "-d", "evio", "büro netz")
	}
	d.both(t, 10*time.Second, "network büro netz: it reaches this engine only, because its name cannot be an overlay's", "remove it and create it with -o evio.overlay=NAME")
	for _, s := range d.Sites {
		scenario.Docker(t, s, "network", "rm", "büro netz")
	}
	d.healthy(t, 10*time.Second)
	for i, s := range d.Sites {
		scenario.Docker(t, s, slices.Concat([]string{"network", "create", "-d", "evio", "--ipv6", "-o", "evio.overlay=taken"}, subnets(i, 57, 57), []string{"first"})...)
		scenario.Docker(t, s, slices.Concat([]string{"network", "create", "-d", "evio", "--ipv6"}, subnets(i, 58, 58), []string{"taken"})...)
	}
	d.both(t, 10*time.Second, "network taken: it reaches this engine only, because overlay taken is used by network first of this engine", "-o evio.overlay=NAME")
	for _, s := range d.Sites {
		scenario.Docker(t, s, "network", "rm", "first")
	}
	d.healthy(t, 20*time.Second)
	for _, s := range d.Sites {
		if n, err := s.NetworkStatus(scenario.Within(t, 10*time.Second), "taken"); err != nil || n.Overlay != "taken" || n.Local {
			t.Errorf("site %s: the network does not join the overlay that is free now: %+v, %v", s.Name(), n, err)
		}
		scenario.Docker(t, s, "network", "rm", "taken")
	}
}

// overlayOfNobody: two compose projects have two overlays. That is a note, with the name
// that would fit, and changes no exit code.
func (d silent) overlayOfNobody(t *testing.T) {
	a, b := d.Sites[0], d.Sites[1]
	scenario.Docker(t, a, "network", "create", "-d", "evio", "store_shop_net")
	scenario.Docker(t, b, "network", "create", "-d", "evio", "shop_net")
	d.says(t, a, 20*time.Second, 0, "note: no other member has overlay store_shop_net, which network store_shop_net is in; "+b.Account.JID+" has overlay shop_net", "-o evio.overlay=shop_net")
	d.says(t, b, 20*time.Second, 0, "note: no other member has overlay shop_net, which network shop_net is in, while "+a.Account.JID+" (1 other overlay) is online")
	scenario.Docker(t, a, "network", "rm", "store_shop_net")
	scenario.Docker(t, b, "network", "rm", "shop_net")
}

// ownLimit: a container sends more to all than an engine may.
func (d silent) ownLimit(t *testing.T, n scenario.Network) {
	a, b := d.Sites[0], d.Sites[1]
	before := dropped(t, a, n.Name, "flood-container-limit")
	scenario.Exec(t, a, scenario.ContainerName(a, n), "probe", "count-send", "-to", fmt.Sprintf("10.%d.255.255:9", n.Net), "-rate", "10000", "-for", "2s")
	if after := dropped(t, a, n.Name, "flood-container-limit"); after == before {
		t.Errorf("nothing is counted: %d", after)
	}
	d.says(t, a, 10*time.Second, 3, " lost, the last at ", "(flood-container-limit): ")
	d.says(t, b, 20*time.Second, 3, "overlay "+n.Overlay+": "+a.Account.JID, "loses frames of this network", "run evio status there")
}

// burst: datagrams come faster than two engines carry them. What is missing is counted.
func (d silent) burst(t *testing.T, n scenario.Network) {
	a, b := d.Sites[0], d.Sites[1]
	before := d.lost(t, n)
	scenario.Exec(t, b, scenario.ContainerName(b, n), "sh", "-c", "probe count-recv -listen :9001 -idle 2s >/tmp/count 2>&1 &")
	scenario.UntilContext(t, 10*time.Second, func(ctx context.Context) error {
		out, err := b.Exec(ctx, scenario.ContainerName(b, n), "cat", "/tmp/count")
		if err == nil && !strings.Contains(out, "listening") {
			err = errors.New(out)
		}
		return err
	})
	there, _ := scenario.Addresses(t, b, scenario.ContainerName(b, n), n.Name)
	var sent struct{ Sent uint64 }
	if err := json.Unmarshal([]byte(scenario.Exec(t, a, scenario.ContainerName(a, n), "probe", "count-send", "-to", there+":9001", "-rate", "100000", "-for", "2s")), &sent); err != nil {
		t.Fatal(err)
	}
	var received struct{ Received uint64 }
	scenario.UntilContext(t, 20*time.Second, func(ctx context.Context) error {
		out, err := b.Exec(ctx, scenario.ContainerName(b, n), "tail", "-n", "1", "/tmp/count")
		if err == nil && !strings.Contains(out, "received") {
			err = errors.New(out)
		}
		if err == nil {
			err = json.Unmarshal([]byte(out), &received)
		}
		return err
	})
	missing := sent.Sent - received.Received
	t.Logf("%d of %d datagrams are missing", missing, sent.Sent)
	if missing == 0 {
		t.Fatal("the burst is too small to lose anything")
	}
	var counted uint64
	scenario.Until(t, 10*time.Second, func() error {
		// What the receiver's own socket had no room for is in no counter of ours.
		if counted = d.lost(t, n) - before; counted < missing/2 {
			return fmt.Errorf("%d datagrams are missing, and %d losses are counted", missing, counted)
		}
		return nil
	})
	t.Logf("%d losses are counted", counted)
	for i, s := range d.Sites {
		there := d.Sites[1-i].Account.JID
		scenario.Until(t, 15*time.Second, func() error {
			doc := scenario.Document(t, s)
			faults := strings.Join(doc.Faults, "\n")
			own := strings.Contains(faults, " lost, the last at ") || strings.Contains(faults, " lost in the tunnel to ")
			if others := strings.Contains(faults, there) && strings.Contains(faults, "loses frames of this network"); doc.Health.Healthy || !own && !others {
				return fmt.Errorf("site %s: healthy %v, faults %q", s.Name(), doc.Health.Healthy, doc.Faults)
			}
			return nil
		})
		d.says(t, s, 5*time.Second, 3)
	}
}

// lost is the number of losses that stand at both sites.
func (d silent) lost(t *testing.T, n scenario.Network) uint64 {
	t.Helper()
	var all uint64
	for _, s := range d.Sites {
		doc := scenario.Document(t, s)
		for _, l := range doc.Transport.Losses {
			all += l.Count
		}
		for _, network := range doc.Networks {
			if network.Name != n.Name {
				continue
			}
			for _, l := range network.Losses {
				if l.Cause != "flood-own-limit" && l.Cause != "flood-container-limit" {
					all += l.Count
				}
			}
		}
	}
	return all
}

// narrowPath: a router drops large packets and their fragments.
func (d silent) narrowPath(t *testing.T, n scenario.Network) {
	a, b := d.Sites[0], d.Sites[1]
	there, _ := scenario.Addresses(t, b, scenario.ContainerName(b, n), n.Name)
	large := func() error {
		_, err := a.Exec(scenario.Within(t, 10*time.Second), scenario.ContainerName(a, n), "ping", "-c", "2", "-i", "0.2", "-W", "1", "-s", "1372", there)
		return err
	}
	if err := large(); err != nil {
		t.Fatal(err)
	}
	drop, err := a.Router.DropLarge(scenario.Within(t, 10*time.Second), 1420)
	if err != nil {
		t.Fatal(err)
	}
	if err := large(); err == nil {
		t.Error("full frames pass though the router drops them")
	}
	d.both(t, 30*time.Second, "network "+n.Name+": the path to THERE takes no packets of 1473 bytes", "cut to packets of 1400 bytes", "-o com.docker.network.driver.mtu=1327")
	for _, s := range d.Sites {
		if dropped(t, s, n.Name, "path_size") == 0 {
			t.Errorf("site %s does not count the probes that are lost", s.Name())
		}
	}
	scenario.Until(t, 10*time.Second, large)
	if err := drop.Undo(scenario.Within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	d.gone(t, "the path to")
	scenario.Until(t, 5*time.Second, large)
}
