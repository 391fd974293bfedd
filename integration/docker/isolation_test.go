//go:build e2e

package docker

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"regexp"
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
		scenario.StartOverlay(t, d, n)
		networks = append(networks, n)
	}
	token := func(n scenario.Network) string { return "frame-of-overlay-" + n.Name }

	captures := startCaptures(t, d, networks)
	for _, n := range networks {
		scenario.Pairs(d, func(from, to *scenario.Site) {
			v4, _ := scenario.Addresses(t, to, scenario.ContainerName(to, n), n.Name)
			for _, dst := range []string{v4, fmt.Sprintf("10.%d.255.255", n.Net)} {
				scenario.Exec(t, from, scenario.ContainerName(from, n), "probe", "udp-send", "-to", dst+":9", "-token", token(n), "-count", "3", "-every", "20ms")
			}
		})
	}
	for device, c := range captures {
		file, err := c.Stop(scenario.Within(t, 10*time.Second))
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
	group, ctx := errgroup.WithContext(scenario.Within(t, time.Minute))
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
				c, err := s.CaptureContainer(ctx, scenario.ContainerName(s, n), "eth0", "")
				if err := keep("container "+scenario.ContainerName(s, n), c, err); err != nil {
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

// testSpoofing: a container that sends with another's MAC or IP address gets nothing
// through, neither to its own site nor to another, whatever the network's guard; with what
// nobody has it does where the guard lets it claim that, and with its own it always does.
func testSpoofing(t *testing.T, d *scenario.Deployment) {
	for i, guard := range []string{"strict", "claim", "open"} {
		t.Run(guard, func(t *testing.T) {
			t.Parallel()
			n := scenario.Network{Name: "spoof-" + guard, Overlay: "spoof-" + guard, Net: 24 + i, Args: []string{"-o", "evio.guard=" + guard}}
			scenario.StartOverlay(t, d, n)
			spoofing(t, d, n, guard)
		})
	}
}

func spoofing(t *testing.T, d *scenario.Deployment, n scenario.Network, guard string) {
	a, b := d.Sites[0], d.Sites[1]
	neighbour := "neighbour-" + guard
	scenario.StartContainer(t, a, neighbour, n.Name)
	own, _ := scenario.Addresses(t, a, scenario.ContainerName(a, n), n.Name)
	other, _ := scenario.Addresses(t, a, neighbour, n.Name)
	far, _ := scenario.Addresses(t, b, scenario.ContainerName(b, n), n.Name)
	mac := func(s *scenario.Site, container string) string {
		return strings.TrimSpace(scenario.Exec(t, s, container, "cat", "/sys/class/net/eth0/address"))
	}
	ownMAC, otherMAC, farMAC := mac(a, scenario.ContainerName(a, n)), mac(a, neighbour), mac(b, scenario.ContainerName(b, n))
	const (
		nobodysMAC = "06:11:22:33:44:55"
		vrrpMAC    = "00:00:5e:00:01:21"
		everybody  = "ff:ff:ff:ff:ff:ff"
	)
	nobodys, asked := fmt.Sprintf("10.%d.9.9", n.Net), fmt.Sprintf("10.%d.66.66", n.Net)

	for i, target := range []struct {
		site              *scenario.Site
		container, ip, at string
	}{{b, scenario.ContainerName(b, n), far, farMAC}, {a, neighbour, other, otherMAC}} {
		// Each is tried for the first time: what passes is claimed from then on.
		nobodysMAC, vrrpMAC := fmt.Sprintf("%s%d", nobodysMAC[:16], i), fmt.Sprintf("%s%d", vrrpMAC[:16], i)
		c, err := target.site.CaptureContainer(scenario.Within(t, 20*time.Second), target.container, "eth0", "udp or arp")
		if err != nil {
			t.Fatal(err)
		}
		awaited := map[string]func(){} // what arrives, and how it is sent again
		for _, f := range []struct {
			token, macSrc, ipSrc, macDst string
			passes                       string // guards
		}{
			{"mac-of-nobody", nobodysMAC, own, target.at, "open"},
			{"broadcast-with-mac-of-nobody", nobodysMAC, own, everybody, "open"},
			{"mac-of-vrrp", vrrpMAC, own, target.at, "claim open"},
			{"mac-of-peer", farMAC, own, target.at, ""},
			{"mac-of-neighbour", otherMAC, own, everybody, ""},
			{"ip-of-nobody", ownMAC, nobodys, target.at, "claim open"},
			{"ip-outside", ownMAC, "198.18.7.7", target.at, "open"},
			{"ip-of-peer", ownMAC, far, target.at, ""},
			{"ip-of-neighbour", ownMAC, other, target.at, ""},
			{"honest-frame", ownMAC, own, target.at, "strict claim open"},
		} {
			send := func() {
				scenario.Exec(t, a, scenario.ContainerName(a, n), "probe", "raw-send", "-mac-src", f.macSrc, "-mac-dst", f.macDst,
					"-ip-src", f.ipSrc, "-ip-dst", target.ip, "-token", "token-of-"+f.token+".")
			}
			send()
			if strings.Contains(f.passes, guard) {
				awaited[f.token] = send
			}
		}
		scenario.Exec(t, a, scenario.ContainerName(a, n), "probe", "raw-send", "-mac-src", ownMAC, "-ip-src", asked, "-ip-dst", target.ip, "-arp")
		last := func() {
			scenario.Exec(t, a, scenario.ContainerName(a, n), "probe", "raw-send", "-mac-src", ownMAC, "-mac-dst", target.at, "-ip-src", own, "-ip-dst", target.ip, "-token", "token-of-the-last.")
		}
		last()
		awaited["the-last"] = last
		var seen []byte
		scenario.UntilContext(t, 15*time.Second, func(context.Context) error {
			if seen, err = os.ReadFile(c.File()); err != nil {
				return err
			}
			for token, again := range awaited {
				if !bytes.Contains(seen, []byte("token-of-"+token+".")) {
					again() // a frame whose claim takes longer than 100 ms is lost, as on a busy machine
					return fmt.Errorf("%s has not reached %s", token, target.container)
				}
			}
			return nil
		})
		if _, err := c.Stop(scenario.Within(t, 10*time.Second)); err != nil {
			t.Fatal(err)
		}
		// The dot ends the token: the time of the next packet follows in the file, and may be a letter.
		for _, token := range regexp.MustCompile(`token-of-([a-z-]+)\.`).FindAllSubmatch(seen, -1) {
			if awaited[string(token[1])] == nil {
				t.Errorf("%s reached %s", token[1], target.container)
			}
		}
		if arrived := bytes.Contains(seen, netip.MustParseAddr(asked).AsSlice()); arrived && guard == "strict" {
			t.Errorf("an ARP request of %s reached %s", asked, target.container)
		}
	}
}
