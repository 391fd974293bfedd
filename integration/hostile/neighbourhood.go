//go:build e2e

package hostile

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"evio/driver/status"
	"evio/integration/scenario"
	"evio/integration/testbed"
)

// neighbours is a hostile container at site a, with one beside it, one at site b, and a
// member of the overlay that lies as well.
type neighbours struct {
	*federation

	attacker, beside, far host                      // the container at a, another one at a, the one at b
	victims               map[string]*scenario.Site // by namespace
}

const (
	besideName = "beside"
	closedPort = 7777 // nobody listens there
)

func newNeighbourhood(t *testing.T) *neighbours {
	t.Helper()
	d := scenario.StartStandalone(t, nil, testbed.SiteConfig{Name: "a"}, testbed.SiteConfig{Name: "b"})
	f := &neighbours{federation: &federation{Deployment: d, a: d.Sites[0], b: d.Sites[1], host: d.Lab.Internet().Machine}}
	f.victims = map[string]*scenario.Site{besideName: f.a, open.Name: f.b}
	for _, s := range d.Sites {
		scenario.Until(t, 20*time.Second, func() error {
			if d := scenario.Document(t, s); d.Switch.Version == "" || !d.Signalling[0].Connected {
				return fmt.Errorf("%s is not ready: %v", s.Name(), d.Faults)
			}
			return nil
		})
		if err := s.Join(scenario.Within(t, 20*time.Second), open); err != nil {
			t.Fatal(err)
		}
	}
	f.attach(t, besideName, 2)
	ctx := scenario.Within(t, time.Minute)
	if err := f.host.WriteFile(ctx, "/root/ca.pem", d.Lab.Internet().CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if f.mallory, err = d.Lab.Internet().XMPP.AddAccount(ctx, "mallory", "secret of mallory"); err != nil {
		t.Fatal(err)
	}
	if err := d.Lab.Internet().XMPP.SetGroup(ctx, f.a.Account, f.b.Account, f.mallory); err != nil {
		t.Fatal(err)
	}
	f.newMember(t)
	scenario.AwaitSession(t, 20*time.Second, f.a, open.Name, f.b.Account.JID)
	f.attacker, f.beside, f.far = f.stationAt(t, f.a, 1), f.stationAt(t, f.a, 2), f.stationAt(t, f.b, 1)
	f.friendly(t)
	return f
}

// addressesAt are those of the n-th namespace of site a.
func addressesAt(n int) []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix(fmt.Sprintf("10.%d.1.%d/16", open.Net, n)), netip.MustParsePrefix(fmt.Sprintf("fd00:%d::1:%d/64", open.Net, n)),
	}
}

func (f *neighbours) attach(t *testing.T, name string, n int) {
	t.Helper()
	if err := f.a.Attach(scenario.Within(t, 20*time.Second), open.Name, name, addressesAt(n)...); err != nil {
		t.Fatal(err)
	}
}

// stationAt is the n-th namespace of a site.
func (f *neighbours) stationAt(t *testing.T, s *scenario.Site, n int) host {
	t.Helper()
	addr := open.Addresses(s)
	if s == f.a {
		addr = []netip.Addr{addressesAt(n)[0].Addr(), addressesAt(n)[1].Addr()}
	}
	for _, e := range scenario.OverlayAt(t, s, open.Name).Endpoints {
		if len(e.Addresses) > 0 && e.Addresses[0] == addr[0].String() {
			mac, err := net.ParseMAC(e.MAC)
			if err != nil {
				t.Fatal(err)
			}
			return host{mac, addr[0], addr[1]}
		}
	}
	t.Fatalf("%s has no attachment with %v", s.Name(), addr)
	return host{}
}

// friendly has all honest ones talk, so that they know each other.
func (f *neighbours) friendly(t *testing.T) {
	t.Helper()
	for _, way := range []struct {
		from *scenario.Site
		name string
		to   host
	}{
		{f.a, open.Name, f.beside}, {f.a, open.Name, f.far}, {f.a, besideName, f.far}, {f.a, besideName, f.attacker},
		{f.b, open.Name, f.attacker}, {f.b, open.Name, f.beside},
	} {
		for _, addr := range []netip.Addr{way.to.v4, way.to.v6} {
			scenario.Until(t, 15*time.Second, func() error {
				_, err := way.from.InNamespace(scenario.Within(t, 5*time.Second), way.name, "ping", "-q", "-c", "1", "-W", "1", addr.String())
				return err
			})
		}
	}
}

// neighbourWay is one path that frames take.
type neighbourWay struct {
	me, victim, other host
	where             *scenario.Site // the engine that decides
	ear               *scenario.Site
	namespace         string // of the victim
	send              func(t *testing.T, flooded bool, hexed string)
}

func (f *neighbours) containerWay(victim, other host, ear *scenario.Site, namespace string) neighbourWay {
	return neighbourWay{f.attacker, victim, other, f.a, ear, namespace, func(t *testing.T, _ bool, hexed string) { f.utter(t, hexed) }}
}

// utter sends a frame from the attacker's namespace.
func (f *neighbours) utter(t *testing.T, hexed string) {
	t.Helper()
	scenario.Inside(t, f.a, open.Name, "probe", "raw-send", "-mac-dst", hexMAC(hexed[:12]), "-mac-src", hexMAC(hexed[12:24]),
		"-type", "0x"+hexed[24:28], "-payload", hexed[28:])
}

func hexMAC(s string) string {
	var parts []string
	for i := 0; i < len(s); i += 2 {
		parts = append(parts, s[i:i+2])
	}
	return strings.Join(parts, ":")
}

func (f *neighbours) memberWay(t *testing.T) neighbourWay {
	to := scenario.OverlayAt(t, f.b, open.Name).Node
	return neighbourWay{malloryHost(open), f.far, f.attacker, f.b, f.b, open.Name, func(t *testing.T, flooded bool, hexed string) {
		t.Helper()
		route := map[bool]string{false: "POST /frames", true: "POST /floods"}[flooded]
		f.member.ask(t, route, sent{To: to, Frames: []string{hexed}}, nil)
	}}
}

// refusals counts what was refused for a cause, wherever.
func refusals(cause string) scenario.Counter {
	return scenario.Counter{Name: cause, Read: func(d status.Document) uint64 {
		n := scenario.OverlayIn(d, open.Name)
		sum := n.Drops[cause] + n.Drops["bridge-"+cause]
		switch cause {
		case "source-not-owned":
			sum += n.Drops["flood-source-not-origin"]
		case "address-not-owned": // a container might have claimed it
			sum += n.Drops["claim-held"] + n.Drops["claim-outside"] + n.Drops["claim-limit"] + n.Drops["claim-delayed"]
		}
		return sum
	}}
}

// states is what the attacker wants to change: addresses and routes of the victims, and of
// the hosts.
func (f *neighbours) states(t *testing.T) map[string]string {
	t.Helper()
	// The kernel has a route for groups on every device that is up, and one to a link-local
	// address as soon as it has seen that nobody else has that.
	const script = `(ip -o addr | awk '{print $2, $4}'
ip -4 route show table all
ip -6 route show table all | grep -v -e '^multicast ff00::/8' -e '^local fe80::' | sed 's/expires [0-9]*sec//; s/pref .*//') | sort`
	all := map[string]string{}
	for name, s := range f.victims {
		all["namespace "+name+" at "+s.Name()] = scenario.Inside(t, s, name, "sh", "-c", script)
	}
	for _, s := range f.Sites {
		out, err := s.Run(scenario.Within(t, 10*time.Second), "sh", "-c", script)
		if err != nil {
			t.Fatal(err)
		}
		all["host "+s.Name()] = out
	}
	return all
}

// unmoved fails the test if something of it has changed, or if somebody thinks that an
// attacker has another's address.
func (f *neighbours) unmoved(t *testing.T, before map[string]string) {
	t.Helper()
	for where, now := range f.states(t) {
		if now != before[where] {
			t.Errorf("%s was\n%s\nand is\n%s", where, before[where], now)
		}
	}
	for name, s := range f.victims {
		known := scenario.Inside(t, s, name, "ip", "neigh")
		for line := range strings.Lines(known) {
			for _, attacker := range []host{f.attacker, malloryHost(open)} {
				fields := strings.Fields(line)
				if strings.Contains(line, attacker.mac.String()) && fields[0] != attacker.v4.String() && fields[0] != attacker.v6.String() &&
					fields[0] != linkLocalOf(attacker.mac).String() {
					t.Errorf("namespace %s at %s: %s", name, s.Name(), line)
				}
			}
		}
	}
	for _, s := range f.Sites {
		out, err := s.Run(scenario.Within(t, 10*time.Second), "sh", "-c", `ip neigh | grep 'dev ev' || :`)
		if err != nil || strings.TrimSpace(out) != "" {
			t.Errorf("the host at %s has neighbours among containers: %s, %v", s.Name(), out, err)
		}
	}
}

// hostHeard is how many datagrams for a port at which nobody listens a host's stack has got.
func (f *neighbours) hostHeard(t *testing.T) string {
	t.Helper()
	out, err := f.a.Run(scenario.Within(t, 10*time.Second), "sh", "-c", `awk '$1 == "Udp:" && $3 ~ /[0-9]/ {print $3}' /proc/net/snmp`)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// noBPF are capabilities without which the kernel takes no BPF program that could shield.
const noBPF = "cap_sys_admin,cap_bpf"

func (f *neighbours) restart(t *testing.T, o testbed.EvioOptions, between func()) {
	t.Helper()
	if err := f.a.StopEvio(scenario.Within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	between()
	if err := f.a.StartEvio(scenario.Within(t, 30*time.Second), o); err != nil {
		t.Fatal(err)
	}
}
