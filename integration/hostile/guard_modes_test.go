//go:build e2e

package hostile

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"evio/integration/scenario"
)

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
	from := w.start(t, w.c, "asker-"+w.n.guard, w.n.Name)
	asker := asking(t, from, all...)
	heard := func(asker scenario.Job, name string) func(context.Context) error {
		return func(context.Context) error {
			seen, err := replies(asker)
			if err != nil {
				return err
			}
			for _, address := range all[:2] {
				last, err := holder(seen, address)
				if err != nil {
					return err
				}
				if last.Name != name {
					return fmt.Errorf("%s is at %q, want %q", address, last.Name, name)
				}
			}
			return nil
		}
	}
	scenario.UntilContext(t, answeringSoon, heard(asker, "victim"))

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
	// The restart may be too short for the first asker to notice a silence.
	scenario.UntilContext(t, answeringSoon, heard(asking(t, from, all[:2]...), "victim"))
	t.Logf("the victim is heard %v after docker restart came back", time.Since(restarted).Round(time.Millisecond))
	w.counted(t, before)

	// Gone, its addresses are still not for containers to take, except for Docker to hand out.
	scenario.Docker(t, w.a, "rm", "-f", "victim-"+w.n.guard)
	w.triesInVain(t, w.refusals(t))
	w.start(t, w.b, "heir-"+w.n.guard, w.n.Name, "--ip", victim, "--ip6", victim6, "--", "sh", "-c", "exec probe name-serve -name heir")
	scenario.UntilContext(t, answeringSoon, heard(asker, "heir"))
	w.neverHeard(t, asker, all)
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
