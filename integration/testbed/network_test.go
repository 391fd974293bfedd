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
		nat    NAT
		lan    string
		want   []string // WAN, LAN, gateway, host
		err    string
	}{
		{name: "default", number: 1, want: []string{"203.0.113.11", "192.168.11.0/24", "192.168.11.1", "192.168.11.2"}},
		{name: "own LAN", number: 2, lan: "10.0.0.0/8", want: []string{"203.0.113.12", "10.0.0.0/8", "10.0.0.1", "10.0.0.2"}},
		{name: "public", number: 3, nat: None, want: []string{"203.0.113.13", "192.0.2.24/29", "192.0.2.25", "192.0.2.26"}},
		{name: "last", number: mostSites, nat: None, want: []string{"203.0.113.41", "192.0.2.248/29", "192.0.2.249", "192.0.2.250"}},
		{name: "too many", number: mostSites + 1, err: "at most"},
		{name: "public with LAN", number: 1, nat: None, lan: "10.0.0.0/8", err: "leave LAN empty"},
		{name: "not a network", number: 1, lan: "10.0.0.1/8", err: "give an IPv4 network"},
		{name: "too small", number: 1, lan: "10.0.0.0/31", err: "give an IPv4 network"},
		{name: "IPv6", number: 1, lan: "2001:db8::/64", err: "give an IPv4 network"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var lan netip.Prefix
			if c.lan != "" {
				lan = netip.MustParsePrefix(c.lan)
			}
			p, err := planSite(c.number, c.nat, lan)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got error %v, want one with %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := []string{p.wan.String(), p.lan.String(), p.gate.String(), p.host.String()}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNATRules(t *testing.T) {
	for nat := PortRestricted; nat <= None; nat++ {
		if _, err := nat.rules(); err != nil {
			t.Errorf("%s: %v", nat, err)
		}
	}
	if _, err := (None + 1).rules(); err == nil {
		t.Error("an unknown kind of NAT has rules")
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
