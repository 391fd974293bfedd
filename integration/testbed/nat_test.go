//go:build e2e

package testbed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

var errMissing = errors.New("not there yet")

// contains is nil when the file has the text.
func contains(file, text string) error {
	data, err := os.ReadFile(file)
	if err == nil && !strings.Contains(string(data), text) {
		err = fmt.Errorf("%w: %q in %q", errMissing, text, data)
	}
	return err
}

func TestNAT(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	lab := must(New(ctx, Options{}))(t)
	t.Cleanup(func() { check(t, lab.Close()) })
	lan := netip.MustParsePrefix("192.168.1.0/24")
	check(t, lab.AddSites(ctx,
		SiteConfig{Name: "cone", LAN: lan},
		SiteConfig{Name: "cone2", LAN: lan}, // many homes have the same network
		SiteConfig{Name: "symmetric", NAT: Symmetric},
		SiteConfig{Name: "blocked", NAT: UDPBlocked},
		SiteConfig{Name: "open", NAT: None},
		SiteConfig{Name: "double", NAT: DoubleNAT},
		SiteConfig{Name: "double2", NAT: DoubleNAT},
		SiteConfig{Name: "six", NAT: IPv6Only},
		SiteConfig{Name: "six2", NAT: IPv6Only},
	))

	t.Run("STUN", func(t *testing.T) {
		for _, s := range lab.Sites() {
			want := s.Router.Outside()
			got, err := reflexive(ctx, s, s.Addr())
			switch {
			case s.Router.NAT() == UDPBlocked && err == nil:
				t.Errorf("%s: UDP passes: %s", s.Name(), got)
			case s.Router.NAT() != UDPBlocked && (err != nil || got != want):
				t.Errorf("%s is seen as %s, %v; want %s", s.Name(), got, err, want)
			}
		}
	})
	t.Run("TCP", func(t *testing.T) {
		for _, s := range lab.Sites() {
			if _, err := s.Run(ctx, "probe", "tcp-check", XMPPDomain+":5222"); err != nil {
				t.Error(err)
			}
		}
	})
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"cone", "cone2", true},
		{"cone", "open", true},
		{"cone", "symmetric", false},
		{"cone", "blocked", false},
		{"double", "cone", true},
		{"double", "double2", true},
		{"double", "symmetric", false},
		{"six", "six2", true},
	} {
		t.Run("punch "+c.a+" "+c.b, func(t *testing.T) {
			a, b := lab.Site(c.a), lab.Site(c.b)
			if got := punch(t, a, b); got != c.want {
				t.Errorf("hole punching between %s and %s works: %v, want %v", a.Router.NAT(), b.Router.NAT(), got, c.want)
			}
		})
	}
	t.Run("IPv6 only", func(t *testing.T) {
		s := lab.Site("six")
		for _, to := range []string{"198.51.100.3", "203.0.113.11", "192.168.11.2"} {
			if out, err := s.Run(ctx, "ip", "-4", "route", "get", to); err == nil {
				t.Errorf("there is a way to %s: %s", to, out)
			}
		}
		// Nobody was asked, so nobody is let in.
		heard := must(s.Start(ctx, "unasked", "probe", "udp-recv", "-listen", ":4001", "-for", "1s"))(t)
		check(t, heard.await(ctx, func() error { return contains(heard.Log(), "listening") }))
		must(lab.Internet().Run(ctx, "probe", "udp-send", "-to", netip.AddrPortFrom(s.Addr(), 4001).String(), "-token", "unasked"))(t)
		<-heard.Done()
		if contains(heard.Log(), `"token"`) == nil {
			t.Error("an unasked datagram passes the firewall")
		}
	})
	t.Run("TURN", func(t *testing.T) {
		user, password := lab.Internet().TURN.Credentials()
		check(t, lab.Site("blocked").WriteFile(ctx, "/etc/ca.pem", lab.Internet().CA(), 0o600))
		known := "-u " + user + " -w " + password
		var clients errgroup.Group
		for _, c := range []struct{ site, args string }{
			{"symmetric", known + " " + TURNName},
			{"double", known + " " + TURNName},
			{"blocked", "-t " + known + " " + TURNName},
			// One message: of several in one TLS record, this client reads the first only.
			{"blocked", "-t -S -E /etc/ca.pem -p 5349 -n 1 " + known + " " + TURNName},
			{"symmetric", "-W " + lab.Internet().TURN2.Secret() + " " + TURN2Name},
			{"blocked", "-t -W " + lab.Internet().TURN2.Secret() + " " + TURN2Name},
			{"six", known + " " + stunAddr6},
			{"six2", "-x " + known + " " + stunAddr6},
		} {
			clients.Go(func() error {
				// Two clients that talk to each other by two relayed addresses.
				out, err := lab.Site(c.site).Script(ctx, "turnutils_uclient -y -c -n 3 "+c.args)
				if err == nil && !strings.Contains(out, "Total lost packets 0 ") {
					err = fmt.Errorf("%s: not all messages came: %s", c.site, tail(out))
				}
				return err
			})
		}
		clients.Go(func() error {
			_, err := lab.Site("blocked").Script(ctx, "openssl s_client -connect "+TURNName+":5349 -CAfile /etc/ca.pem "+
				"-verify_hostname "+TURNName+" -verify_return_error </dev/null")
			return err
		})
		if err := clients.Wait(); err != nil {
			t.Error(err)
		}
	})
	t.Run("unplug", func(t *testing.T) {
		s := lab.Site("cone")
		check(t, s.Router.Unplug(ctx))
		if _, err := reflexive(ctx, s, s.Addr()); err == nil {
			t.Error("unplugged, and yet connected")
		}
		check(t, s.Router.Plug(ctx))
		if _, err := reflexive(ctx, s, s.Addr()); err != nil {
			t.Error(err)
		}
	})
}

// reflexive is the address that the STUN server sees of a site's own.
func reflexive(ctx context.Context, s *Site, own netip.Addr) (netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	server := stunAddr
	if own.Is6() {
		server = stunAddr6
	}
	out, err := s.Run(ctx, "turnutils_stunclient", "-p", "3478", "-L", own.String(), server)
	if err != nil {
		return netip.Addr{}, err
	}
	_, after, ok := strings.Cut(out, "UDP reflexive addr: ")
	if !ok {
		return netip.Addr{}, fmt.Errorf("no reflexive address in %q", out)
	}
	addr := strings.Fields(after)[0] // without brackets, also for IPv6
	return netip.ParseAddr(addr[:max(0, strings.LastIndex(addr, ":"))])
}

// punch sends from port 4000 of both sites to where a port-preserving NAT puts that port, and says
// whether both ends received the other's datagram.
func punch(t *testing.T, a, b *Site) bool {
	t.Helper()
	ctx := within(t, 30*time.Second)
	check(t, a.Router.FlushConntrack(ctx))
	check(t, b.Router.FlushConntrack(ctx))
	outside := func(s *Site) string { return netip.AddrPortFrom(s.Router.Outside(), 4000).String() }
	start := func(from, to *Site) *Process {
		return must(from.Start(ctx, "punch-"+to.Name(), "probe", "udp-recv", "-listen", ":4000",
			"-for", "1500ms", "-poke", outside(to), "-token", "from-"+from.Name()))(t)
	}
	ends := []struct {
		process *Process
		from    *Site
	}{{start(a, b), b}, {start(b, a), a}}
	heard := 0
	for _, end := range ends {
		<-end.process.Done()
		check(t, end.process.Err())
		data := must(os.ReadFile(end.process.Log()))(t)
		decoder := json.NewDecoder(strings.NewReader(string(data)))
		for {
			var event struct{ From, Token string }
			if decoder.Decode(&event) != nil {
				break
			}
			if event.Token == "from-"+end.from.Name() && event.From == outside(end.from) {
				heard++
				break
			}
		}
	}
	return heard == len(ends)
}
