//go:build e2e

package integration

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"evio/integration/scenario"
	"evio/integration/testbed"
)

// testIsolation: with three overlays on the same three engines, no device and no
// container sees a frame of more than one overlay.
func testIsolation(t *testing.T, d *scenario.Deployment) {
	var networks []scenario.Network
	for i, overlay := range []string{"red", "green", "yellow"} {
		n := scenario.Network{Name: overlay, Overlay: overlay, Net: 21 + i}
		overlayOf(t, d, n)
		networks = append(networks, n)
	}
	token := func(n scenario.Network) string { return "frame-of-overlay-" + n.Name }

	captures := startCaptures(t, d, networks)
	for _, n := range networks {
		pairs(d, func(from, to *scenario.Site) {
			v4, _ := addresses(t, to, name(to, n), n.Name)
			for _, dst := range []string{v4, fmt.Sprintf("10.%d.255.255", n.Net)} {
				exec(t, from, name(from, n), "probe", "udp-send", "-to", dst+":9", "-token", token(n), "-count", "3", "-every", "20ms")
			}
		})
	}
	for device, c := range captures {
		file, err := c.Stop(within(t, 10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var seen []string
		for _, n := range networks {
			if bytes.Contains(b, []byte(token(n))) {
				seen = append(seen, n.Name)
			}
		}
		if len(seen) > 1 {
			t.Errorf("%s saw frames of %v", device, seen)
		}
		if own, container := strings.CutPrefix(device, "container "); container && (len(seen) != 1 || !strings.HasSuffix(own, "-"+seen[0])) {
			t.Errorf("%s saw frames of %v, want its own", device, seen)
		}
	}
	t.Logf("%d devices and containers were captured", len(captures))
}

// startCaptures captures at every bridge port and TAP of all sites and in every
// container. A bridge's own device is down, and nothing passes it.
func startCaptures(t *testing.T, d *scenario.Deployment, networks []scenario.Network) map[string]*testbed.Capture {
	t.Helper()
	captures := map[string]*testbed.Capture{}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(within(t, time.Minute))
	keep := func(device string, c *testbed.Capture, err error) error {
		mu.Lock()
		defer mu.Unlock()
		captures[device] = c
		return err
	}
	for _, s := range d.Sites {
		group.Go(func() error {
			devices, err := s.Run(ctx, "sh", "-c", "ip -o link show up | awk -F '[ :@]+' '{print $2}'")
			if err != nil {
				return err
			}
			for dev := range strings.FieldsSeq(devices) {
				if strings.HasPrefix(dev, "ev") {
					c, err := s.Capture(ctx, dev, "")
					if err := keep(s.Name()+" "+dev, c, err); err != nil {
						return err
					}
				}
			}
			for _, n := range networks {
				c, err := s.CaptureContainer(ctx, name(s, n), "eth0", "")
				if err := keep("container "+name(s, n), c, err); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	return captures
}

// testSpoofing: a container that sends with another's MAC or IP address gets
// nothing through, neither to its own site nor to another; with its own it does.
func testSpoofing(t *testing.T, d *scenario.Deployment) {
	n := scenario.Network{Name: "spoof", Overlay: "spoof", Net: 24}
	overlayOf(t, d, n)
	a, b := d.Sites[0], d.Sites[1]
	run(t, a, "neighbour", n.Name)
	own, _ := addresses(t, a, name(a, n), n.Name)
	other, _ := addresses(t, a, "neighbour", n.Name)
	far, _ := addresses(t, b, name(b, n), n.Name)
	mac := func(s *scenario.Site, container string) string {
		return strings.TrimSpace(exec(t, s, container, "cat", "/sys/class/net/eth0/address"))
	}
	ownMAC, otherMAC, farMAC := mac(a, name(a, n)), mac(a, "neighbour"), mac(b, name(b, n))

	for _, target := range []struct {
		site              *scenario.Site
		container, ip, at string
	}{{b, name(b, n), far, farMAC}, {a, "neighbour", other, otherMAC}} {
		c, err := target.site.CaptureContainer(within(t, 20*time.Second), target.container, "eth0", "udp or arp")
		if err != nil {
			t.Fatal(err)
		}
		send := func(token, macSrc, ipSrc, macDst string, more ...string) {
			exec(t, a, name(a, n), append([]string{"probe", "raw-send", "-mac-src", macSrc, "-mac-dst", macDst,
				"-ip-src", ipSrc, "-ip-dst", target.ip, "-token", token}, more...)...)
		}
		send("forged-mac", "06:11:22:33:44:55", own, target.at)
		send("forged-mac-of-peer", farMAC, own, target.at)
		send("forged-ip", ownMAC, "10.24.9.9", target.at)
		send("forged-ip-of-neighbour", ownMAC, far, target.at)
		send("forged-broadcast", "06:11:22:33:44:55", own, "ff:ff:ff:ff:ff:ff")
		send("", ownMAC, "10.24.66.66", "ff:ff:ff:ff:ff:ff", "-arp")
		send("honest-frame", ownMAC, own, target.at)
		var seen []byte
		await(t, 5*time.Second, func(context.Context) error {
			if seen, err = os.ReadFile(c.File()); err != nil {
				return err
			}
			if !bytes.Contains(seen, []byte("honest-frame")) {
				return fmt.Errorf("the honest frame has not reached %s", target.container)
			}
			return nil
		})
		if _, err := c.Stop(within(t, 10*time.Second)); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(seen, []byte("forged")) {
			t.Errorf("a forged frame reached %s", target.container)
		}
		if bytes.Contains(seen, []byte{10, 24, 66, 66}) {
			t.Errorf("a forged ARP request reached %s", target.container)
		}
	}
}
