package testbed

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPlanSite(t *testing.T) {
	for _, c := range []struct {
		name   string
		number int
		config SiteConfig
		lan    string
		want   []string // WAN, LAN, gateway and host of each uplink
		err    string
	}{
		{name: "default", number: 1, want: []string{"203.0.113.11/24", "192.168.11.0/24", "192.168.11.1", "192.168.11.2"}},
		{name: "own LAN", number: 2, lan: "10.0.0.0/8", want: []string{"203.0.113.12/24", "10.0.0.0/8", "10.0.0.1", "10.0.0.2"}},
		{name: "public", number: 3, config: SiteConfig{NAT: None}, want: []string{"203.0.113.13/24", "192.0.2.24/29", "192.0.2.25", "192.0.2.26"}},
		{
			name: "last", number: mostSites, config: SiteConfig{NAT: None},
			want: []string{"203.0.113.41/24", "192.0.2.248/29", "192.0.2.249", "192.0.2.250"},
		},
		{
			name: "IPv6 only", number: 10, config: SiteConfig{NAT: IPv6Only},
			want: []string{"2001:db8:113::14/64", "2001:db8:1:a::/64", "2001:db8:1:a::1", "2001:db8:1:a::2"},
		},
		{name: "two uplinks", number: 31, config: SiteConfig{Uplinks: 2}, want: []string{
			"203.0.113.41/24", "192.168.41.0/24", "192.168.41.1", "192.168.41.2",
			"203.0.113.81/24", "192.168.141.0/24", "192.168.141.1", "192.168.141.2",
		}},
		{name: "too many", number: mostSites + 1, err: "at most"},
		{name: "three uplinks", number: 1, config: SiteConfig{Uplinks: 3}, err: "give 1 or 2"},
		{name: "two public uplinks", number: 1, config: SiteConfig{NAT: None, Uplinks: 2}, err: "behind one NAT"},
		{name: "two carriers", number: 1, config: SiteConfig{NAT: DoubleNAT, Uplinks: 2}, err: "behind one NAT"},
		{name: "public with LAN", number: 1, config: SiteConfig{NAT: None}, lan: "10.0.0.0/8", err: "leave LAN empty"},
		{name: "not a network", number: 1, lan: "10.0.0.1/8", err: "give an IPv4 network"},
		{name: "too small", number: 1, lan: "10.0.0.0/31", err: "give an IPv4 network"},
		{name: "IPv6", number: 1, lan: "2001:db8::/64", err: "give an IPv4 network"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.lan != "" {
				c.config.LAN = netip.MustParsePrefix(c.lan)
			}
			plan, err := planSite(c.number, &c.config)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got error %v, want one with %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, u := range plan {
				got = append(got, u.wan.String(), u.lan.prefix.String(), u.lan.gate.String(), u.lan.host.String())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNATRules(t *testing.T) {
	for nat := range natKinds {
		if _, err := nat.rules(); err != nil {
			t.Errorf("%s: %v", nat, err)
		}
	}
	if _, err := natKinds.rules(); err == nil {
		t.Error("an unknown kind of NAT has rules")
	}
}

func TestCounter(t *testing.T) {
	const table = `Chain FORWARD (policy DROP 0 packets, 0 bytes)
    pkts      bytes target     prot opt in     out     source               destination
      12     1440 DROP       all  --  wan    lan     203.0.113.12         0.0.0.0/0            /* evio-drop-1-in */
    3400   408000 DROP       all  --  lan    wan     0.0.0.0/0            203.0.113.12         /* evio-drop-1-out */
`
	if n, err := counter(table, "evio-drop-1-out"); n != 3400 || err != nil {
		t.Errorf("counted %d, %v; want 3400", n, err)
	}
	if _, err := counter(table, "evio-drop-2-out"); err == nil {
		t.Error("a rule that is not there has a count")
	}
}

func TestCommandError(t *testing.T) {
	cause := errors.New("exit status 1")
	err := error(&CommandError{Machine: "a", Args: []string{"docker", "ps"}, Stderr: "no engine", Err: cause})
	if got, want := err.Error(), "a: docker ps: exit status 1: no engine"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !errors.Is(err, cause) {
		t.Error("the cause is lost")
	}
}
