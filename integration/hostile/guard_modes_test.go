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

// open tells whether a container may do what is not of one machine with Docker's addresses.
func (w *guardWorld) open() bool { return w.n.guard == "open" }

// ownAddress: one that a container gives itself, within the subnets.
func (w *guardWorld) ownAddress(t *testing.T) {
	v4, v6 := fmt.Sprintf("10.%d.210.1", w.n.Net), fmt.Sprintf("fd00:%d::210:1", w.n.Net)
	mustScript(t, w.host, "ip address add "+v4+"/16 dev eth0; ip address add "+v6+"/64 dev eth0")
	w.works(t, w.n.guard != "strict", w.router, []string{v4, v6})
	mustScript(t, w.host, "ip address del "+v4+"/16 dev eth0; ip address del "+v6+"/64 dev eth0")
}

// routing: a host behind a container reaches the network, and is reached.
func (w *guardWorld) routing(t *testing.T) {
	there := spotOf(t, w.a, behind)
	mustScript(t, there, fmt.Sprintf("ip route replace 10.%d.0.0/16 via %s; ip route replace fd00:%d::/64 via %s", w.n.Net, w.routerThere4, w.n.Net, w.routerThere6))
	mustScript(t, w.host, fmt.Sprintf("ip route replace %s via %s; ip route replace %s via %s", behind4, w.router4, behind6, w.router6))
	w.works(t, w.open(), w.host, []string{w.hidden4, w.hidden6})
	w.works(t, w.open(), there, []string{w.host4, w.host6})
}

// exitNode: the default route of a container leads through another one, which changes no
// address.
func (w *guardWorld) exitNode(t *testing.T) {
	there := spotOf(t, w.a, behind)
	mustScript(t, there, fmt.Sprintf("ip route replace 10.%d.0.0/16 via %s; ip route replace fd00:%d::/64 via %s", w.n.Net, w.routerThere4, w.n.Net, w.routerThere6))
	mustScript(t, w.router, "ip route replace "+farAway4+" via "+w.hidden4+"; ip route replace "+farAway6+" via "+w.hidden6)
	mustScript(t, w.host, "ip route replace default via "+w.router4+"; ip -6 route replace default via "+w.router6)
	w.works(t, w.open(), w.host, []string{farAway4, farAway6})
}

// dhcp: a container gives addresses to others, which use them.
func (w *guardWorld) dhcp(t *testing.T) {
	server, err := w.a.Start(scenario.Within(t, 10*time.Second), "dnsmasq-"+w.n.guard, w.router.Inside("dnsmasq",
		"--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--port=0", "--interface=eth0", "--bind-interfaces", "--no-ping",
		"--dhcp-authoritative", "--leasefile-ro", "--log-dhcp", "--log-facility=-", "--pid-file=/run/dnsmasq-"+w.n.guard,
		fmt.Sprintf("--dhcp-range=10.%d.220.1,10.%d.220.99,255.255.0.0", w.n.Net, w.n.Net), "--dhcp-option=3")...)
	if err != nil {
		t.Fatal(err)
	}
	before := w.refusals(t)
	// Until it is served: the server may not yet listen.
	const client = `
cat >/tmp/leased <<'END'
#!/bin/sh
[ "$1" != bound ] || { ip address add "$ip/$mask" dev "$interface"; echo "leased $ip"; }
END
chmod +x /tmp/leased
exec busybox udhcpc -f -q -n -i eth0 -t 5 -T 1 -A 1 -s /tmp/leased`
	leased := ""
	ask := func() error {
		out, err := w.b.Exec(scenario.Within(t, 20*time.Second), w.nest.Container, "sh", "-euc", client)
		_, leased, _ = strings.Cut(out, "leased ")
		leased = strings.TrimSpace(leased)
		if err == nil && leased == "" {
			err = errors.New("no lease: " + out)
		}
		return err
	}
	err = ask()
	if stop := server.Stop(scenario.Within(t, 10*time.Second), "TERM"); stop != nil {
		t.Error(stop)
	}
	if !w.open() {
		if err == nil {
			t.Errorf("the container at site b leased %s from one at a", leased)
		}
		w.counted(t, before)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("leased %s", leased)
	leased, _, _ = strings.Cut(leased, "\n")
	w.works(t, true, w.nest, []string{w.router4}, "-I", leased)
	w.works(t, true, w.router, []string{leased})
}

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

func (w *guardWorld) macvlan(t *testing.T) {
	w.second(t, "macvlan-"+w.n.guard, w.host, 1, "ip link add guest link eth0 type macvlan mode bridge")
}

// virtualMachine has its MAC address on a bridge with the container's interface, as a TAP
// device of a hypervisor.
func (w *guardWorld) virtualMachine(t *testing.T) {
	w.second(t, "machine-"+w.n.guard, w.nest, 2, `
ip link add bridge0 type bridge forward_delay 0
ip link add tap0 type veth peer name guest
ip link set eth0 master bridge0
ip link set tap0 master bridge0
ip link set tap0 up
ip link set bridge0 up`)
}

// theft: what another container, a gateway or a container that starts anew has is nobody
// else's.
func (w *guardWorld) theft(t *testing.T) {
	victim := fmt.Sprintf("10.%d.1.99", w.n.Net)
	victim6 := fmt.Sprintf("fd00:%d:0:0:1::99", w.n.Net)
	gateway := fmt.Sprintf("10.%d.1.254", w.n.Net)
	gateway6 := fmt.Sprintf("fd00:%d:0:0:1::ffff", w.n.Net)
	all := []string{victim, victim6, gateway, gateway6}

	thief := w.start(t, w.b, "thief-"+w.n.guard, w.n.Name, "sh", "-c", "exec probe name-serve -name thief")
	w.start(t, w.a, "victim-"+w.n.guard, w.n.Name, "--ip", victim, "--ip6", victim6, "--", "sh", "-c", "exec probe name-serve -name victim")
	asker := asking(t, w.start(t, w.c, "asker-"+w.n.guard, w.n.Name), all...)
	heard := func(name string) func(context.Context) error {
		return func(context.Context) error {
			seen, err := hearings(asker)
			if err != nil {
				return err
			}
			for _, address := range all[:2] {
				if last, err := holder(seen, address); err != nil || last.Name != name {
					return fmt.Errorf("%s is at %q, want %q: %w", address, last.Name, name, err)
				}
			}
			return nil
		}
	}
	scenario.UntilContext(t, answeringSoon, heard("victim"))

	before := w.refusals(t)
	stop := w.steal(t, thief, all)
	defer stop()
	if w.n.guard == "open" { // what nobody holds is anybody's there
		w.triesInVain(t, before)
		w.neverHeard(t, asker, all[:2])
		return
	}
	scenario.Docker(t, w.a, "restart", "-t", "1", "victim-"+w.n.guard)
	restarted := time.Now()
	scenario.UntilContext(t, answeringSoon, func(context.Context) error {
		seen, err := hearings(asker)
		if err != nil {
			return err
		}
		for _, address := range all[:2] {
			last, err := holder(seen, address)
			if err != nil || last.Name != "victim" || last.Silent < 500 {
				return fmt.Errorf("%s is at %+v: %w", address, last, err)
			}
		}
		return nil
	})
	t.Logf("the victim is heard %v after docker restart came back", time.Since(restarted).Round(time.Millisecond))
	w.counted(t, before)

	// Gone, its addresses are still not for containers to take, but for Docker to hand out.
	scenario.Docker(t, w.a, "rm", "-f", "victim-"+w.n.guard)
	w.triesInVain(t, w.refusals(t))
	w.start(t, w.b, "heir-"+w.n.guard, w.n.Name, "--ip", victim, "--ip6", victim6, "--", "sh", "-c", "exec probe name-serve -name heir")
	scenario.UntilContext(t, answeringSoon, heard("heir"))
	w.neverHeard(t, asker, all)
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
	seen, err := hearings(asker)
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
	text := "sysctl -qw net.ipv6.conf.eth0.ndisc_notify=1\n"
	loop := ""
	for _, address := range all {
		if strings.Contains(address, ":") {
			text += "ip address add " + address + "/64 dev eth0 nodad\n"
			loop += "ip address del " + address + "/64 dev eth0; ip address add " + address + "/64 dev eth0 nodad\n"
		} else {
			text += "ip address add " + address + "/16 dev eth0\n"
			loop += "busybox arping -q -A -c 1 -I eth0 " + address + " || :; busybox arping -q -U -c 1 -I eth0 " + address + " || :\n"
		}
	}
	p, err := w.b.Start(scenario.Within(t, 10*time.Second), "steal-"+w.n.guard, thief.Inside("sh", "-euc", text+"while :; do\n"+loop+"sleep 0.2\ndone")...)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := p.Stop(context.WithoutCancel(t.Context()), "TERM"); err != nil {
			t.Error(err)
		}
	}
}

// nullIPAM: a network without addresses of Docker's; containers choose them, and move them.
func (g *guarded) nullIPAM(t *testing.T) {
	spots := make([]scenario.Spot, len(g.Sites))
	v4 := func(i int) string { return fmt.Sprintf("10.77.0.%d", i+1) }
	v6 := func(i int) string { return fmt.Sprintf("fd00:77::%d", i+1) }
	for i, s := range g.Sites {
		scenario.Docker(t, s, "network", "create", "-d", "evio", "--ipam-driver", "null", "-o", "evio.overlay=null", "null")
		if err := s.RunContainer(scenario.Within(t, time.Minute), "null-"+s.Name(), "null"); err != nil {
			t.Fatal(err)
		}
		spots[i] = spotOf(t, s, "null-"+s.Name())
		// An interface for which Docker has no IPv6 address has no IPv6.
		scenario.Exec(t, s, "null-"+s.Name(), "ip", "address", "add", v4(i)+"/24", "dev", "eth0")
		mustScript(t, spots[i], "sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0; ip address add "+v6(i)+"/64 dev eth0")
	}
	if err := g.WaitSessions(scenario.Within(t, 20*time.Second), "null"); err != nil {
		t.Fatal(err)
	}
	for i, from := range spots {
		for j := range spots {
			if i == j {
				continue
			}
			for _, to := range []string{v4(j), v6(j)} {
				if err := pinged(t.Context(), from, answeringSoon, to); err != nil {
					t.Errorf("%s has no answer from %s: %v", from.Container, to, err)
				}
			}
		}
	}
	// One that another container has is its own.
	w := &guardWorld{guarded: g, n: guardedNetwork{scenario.Network{Name: "null"}, "claim"}}
	before := w.refusals(t)
	mustScript(t, spots[1], "ip address add "+v4(0)+"/24 dev eth0; busybox arping -q -A -c 3 -I eth0 "+v4(0)+" || :")
	w.counted(t, before)
	if err := pinged(t.Context(), spots[2], answeringSoon, v4(0)); err != nil {
		t.Errorf("what the container at site a has is not reached any more: %v", err)
	}
}
