//go:build e2e

package hostile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"evio/integration/scenario"
)

// What is on the other side of routers, and far away behind them.
const (
	behind   = "behind"
	behind4  = "10.91.0.0/24"
	behind6  = "fd00:91::/64"
	farAway4 = "192.0.2.77"
	farAway6 = "2001:db8:77::77"
)

// guardWorld is one network of a guard: a router at site a, with a leg in a network of
// another driver, a host at site b, and one there that shall be more than one machine.
type guardWorld struct {
	*guarded
	n                  guardedNetwork
	router, host, nest scenario.Spot
	router4, router6   string
	host4, host6       string
	hidden4, hidden6   string // of the container behind the router
	routerThere4       string // addresses of the router on that side
	routerThere6       string
}

func (g *guarded) populate(t *testing.T, n guardedNetwork) *guardWorld {
	t.Helper()
	w := &guardWorld{guarded: g, n: n}
	w.router = g.start(t, g.a, "router-"+n.guard, n.Name,
		"--sysctl", "net.ipv4.ip_forward=1", "--sysctl", "net.ipv6.conf.all.forwarding=1", "--", "sleep", "infinity")
	w.host = g.start(t, g.b, "host-"+n.guard, n.Name)
	w.nest = g.start(t, g.b, "nest-"+n.guard, n.Name)
	scenario.Docker(t, g.a, "network", "connect", behind, w.router.Container)
	w.router4, w.router6 = scenario.Addresses(t, g.a, w.router.Container, n.Name)
	w.routerThere4, w.routerThere6 = scenario.Addresses(t, g.a, w.router.Container, behind)
	w.hidden4, w.hidden6 = scenario.Addresses(t, g.a, behind, behind)
	w.host4, w.host6 = scenario.Addresses(t, g.b, w.host.Container, n.Name)
	for _, to := range []string{w.router4, w.router6} { // nothing of the first contact belongs into a case
		if err := pinged(t.Context(), w.host, answeringSoon, to); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// open reports whether a container may do what is not of one machine with Docker's addresses.
func (w *guardWorld) open() bool { return w.n.guard == "open" }

// second is a machine of its own in a network namespace of site b, reached by a device that
// a script makes in a container's namespace and calls guest.
func (w *guardWorld) second(t *testing.T, namespace string, through scenario.Spot, number int, devices string) {
	t.Helper()
	v4, v6 := fmt.Sprintf("10.%d.230.%d", w.n.Net, number), fmt.Sprintf("fd00:%d::230:%d", w.n.Net, number)
	before := w.refusals(t)
	mustScript(t, through, fmt.Sprintf(`
ip netns add %[1]s
%[2]s
ip link set guest netns %[1]s
ip -n %[1]s link set guest address 02:aa:bb:cc:%02[3]x:%02[4]x
ip -n %[1]s address add %[5]s/16 dev guest
ip -n %[1]s address add %[6]s/64 dev guest
ip -n %[1]s link set lo up
ip -n %[1]s link set guest up`, namespace, devices, w.n.Net, number, v4, v6))
	for _, to := range []string{w.router4, w.router6} {
		err := w.inNamespace(t, namespace, to)
		if w.open() && err != nil {
			t.Errorf("a machine behind %s has no answer from %s: %v", through.Container, to, err)
		}
		if !w.open() && err == nil {
			t.Errorf("a machine behind %s has an answer from %s", through.Container, to)
		}
	}
	if !w.open() {
		w.counted(t, before)
		return
	}
	w.works(t, true, w.router, []string{v4, v6})
}

func (w *guardWorld) inNamespace(t *testing.T, namespace, to string) error {
	t.Helper()
	patience := answeringSoon
	if !w.open() {
		patience = 2 * time.Second
	}
	ctx := scenario.Within(t, patience)
	return scenario.Await(ctx, func() error {
		_, err := w.b.InNamespace(ctx, namespace, "ping", "-q", "-n", "-c", "1", "-W", "1", to)
		return err
	})
}

// triesInVain waits until ten more frames were refused.
func (w *guardWorld) triesInVain(t *testing.T, before uint64) {
	t.Helper()
	scenario.Until(t, 10*time.Second, func() error {
		if more := w.refusals(t) - before; more < 10 {
			return fmt.Errorf("the thief has tried %d times", more)
		}
		return nil
	})
}

// neverHeard sees that nobody has heard the thief for some addresses.
func (w *guardWorld) neverHeard(t *testing.T, asker scenario.Job, addresses []string) {
	t.Helper()
	seen, err := replies(asker)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range seen {
		if h.Name == "thief" && slices.Contains(addresses, h.Address) {
			t.Errorf("the thief was heard for %s", h.Address)
		}
	}
}

// steal has a container take addresses and announce them five times a second until stop is
// called.
func (w *guardWorld) steal(t *testing.T, thief scenario.Spot, all []string) (stop func()) {
	t.Helper()
	var once, loop strings.Builder
	once.WriteString("sysctl -qw net.ipv6.conf.eth0.ndisc_notify=1\n")
	for _, address := range all {
		if strings.Contains(address, ":") {
			add := "ip address add " + address + "/64 dev eth0 nodad\n"
			once.WriteString(add)
			loop.WriteString("ip address del " + address + "/64 dev eth0; " + add)
		} else {
			once.WriteString("ip address add " + address + "/16 dev eth0\n")
			loop.WriteString("busybox arping -q -A -c 1 -I eth0 " + address + " || :; busybox arping -q -U -c 1 -I eth0 " + address + " || :\n")
		}
	}
	p, err := w.b.Start(scenario.Within(t, 10*time.Second), "steal-"+w.n.guard, thief.Inside("sh", "-euc", once.String()+"while :; do\n"+loop.String()+"sleep 0.2\ndone")...)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := p.Stop(context.WithoutCancel(t.Context()), "TERM"); err != nil {
			t.Error(err)
		}
	}
}

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
