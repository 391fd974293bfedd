//go:build component

package network

import (
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"evio/driver/plane"
	"evio/overlay/overlaytest"
)

// bridgeTo puts another container's interface into this one's namespace, behind one bridge
// with its own. Whatever goes to all then comes back by the other interface.
func (b *box) bridgeTo(other *box) {
	b.rig.t.Helper()
	other.ip("link", "set", "eth0", "netns", b.ns, "name", "eth1")
	b.ip("link", "add", "circle", "type", "bridge")
	for _, port := range []string{"eth0", "eth1"} {
		b.ip("addr", "flush", "dev", port)
		b.ip("link", "set", port, "master", "circle", "up")
	}
	b.ip("link", "set", "circle", "up")
}

// packetsIn returns how many packets the container has received.
func (b *box) packetsIn() int {
	b.rig.t.Helper()
	out := run(b.rig.t, "ip", "netns", "exec", b.ns, "cat", "/sys/class/net/eth0/statistics/rx_packets")
	n, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil {
		b.rig.t.Fatal(err)
	}
	return n
}

// Two containers of an open network close a circle with a bridge, at one engine and over
// two: a port of it is muted, the status names it, and the others go on talking.
func TestCircleThroughBridges(t *testing.T) {
	for name, far := range map[string]bool{"one engine": false, "two engines": true} {
		t.Run(name, func(t *testing.T) {
			server := overlaytest.New()
			server.Befriend("a@example.net", "b@example.net")
			ra := newRig(t, server, "a", 1)
			rb := newRig(t, server, "b", 2, ra)
			for _, r := range []*rig{ra, rb} {
				r.addNetworkIn(plane.GuardOpen, netID, "circles")
			}
			end := ra.box(2)
			if far {
				end = rb.box(2)
			}
			first, here, there := ra.box(1), ra.box(3), rb.box(4)
			for _, b := range []*box{first, end, here, there} {
				b.attach()
			}
			eventually(t, "the sites reach each other", reaches(here, there.addr4()))
			first.bridgeTo(end)

			muted := func() (faults []string) {
				for _, r := range []*rig{ra, rb} {
					faults = append(faults, r.network().loops.faults()...)
				}
				return faults
			}
			eventually(t, "a port of the circle is muted", func() bool {
				// Nobody has this address, so the question goes to all.
				_ = exec.Command("ip", "netns", "exec", here.ns, "ping", "-c", "1", "-W", "1", "10.1.77.77").Run()
				return len(muted()) > 0
			})
			faults := strings.Join(muted(), "\n")
			if !strings.Contains(faults, first.addr4().String()) && !strings.Contains(faults, end.addr4().String()) {
				t.Errorf("the status says %q", faults)
			}
			eventually(t, "nothing goes round any more", func() bool {
				before := here.packetsIn()
				<-time.After(time.Second)
				return here.packetsIn()-before < 100
			})
			for _, to := range []netip.Addr{there.addr4(), there.addr6()} {
				if err := here.pingOnce(to); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
