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
	))

	t.Run("STUN", func(t *testing.T) {
		for _, s := range lab.Sites() {
			want := s.Router.WAN()
			if s.Router.NAT() == None {
				want = s.Addr()
			}
			got, err := reflexive(ctx, s)
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
	} {
		t.Run("punch "+c.a+" "+c.b, func(t *testing.T) {
			a, b := lab.Site(c.a), lab.Site(c.b)
			if got := punch(t, a, b); got != c.want {
				t.Errorf("hole punching between %s and %s works: %v, want %v", a.Router.NAT(), b.Router.NAT(), got, c.want)
			}
		})
	}
	t.Run("TURN", func(t *testing.T) {
		user, password := lab.Internet().TURN.Credentials()
		var clients errgroup.Group
		for site, transport := range map[string]string{"symmetric": "", "blocked": "-t"} {
			clients.Go(func() error {
				// Two clients that talk to each other by two relayed addresses.
				out, err := lab.Site(site).Script(ctx, fmt.Sprintf("turnutils_uclient %s -y -c -n 3 -u %s -w %s %s",
					transport, user, password, stunAddr))
				if err == nil && !strings.Contains(out, "tot_recv_msgs=6") {
					err = fmt.Errorf("%s: not all messages came: %s", site, tail(out))
				}
				return err
			})
		}
		if err := clients.Wait(); err != nil {
			t.Error(err)
		}
	})
	t.Run("unplug", func(t *testing.T) {
		s := lab.Site("cone")
		check(t, s.Router.Unplug(ctx))
		if _, err := reflexive(ctx, s); err == nil {
			t.Error("unplugged, and yet connected")
		}
		check(t, s.Router.Plug(ctx))
		if _, err := reflexive(ctx, s); err != nil {
			t.Error(err)
		}
	})
}

// reflexive is the address that the STUN server sees of a site.
func reflexive(ctx context.Context, s *Site) (netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	out, err := s.Run(ctx, "turnutils_stunclient", "-p", "3478", stunAddr)
	if err != nil {
		return netip.Addr{}, err
	}
	_, after, ok := strings.Cut(out, "UDP reflexive addr: ")
	if !ok {
		return netip.Addr{}, fmt.Errorf("no reflexive address in %q", out)
	}
	addr, err := netip.ParseAddrPort(strings.Fields(after)[0])
	return addr.Addr(), err
}

// punch sends from port 4000 of both sites to where a port-preserving NAT puts that port, and says
// whether both ends received the other's datagram.
func punch(t *testing.T, a, b *Site) bool {
	t.Helper()
	ctx := within(t, 30*time.Second)
	check(t, a.Router.FlushConntrack(ctx))
	check(t, b.Router.FlushConntrack(ctx))
	outside := func(s *Site) string {
		addr := s.Router.WAN()
		if s.Router.NAT() == None {
			addr = s.Addr()
		}
		return netip.AddrPortFrom(addr, 4000).String()
	}
	start := func(from, to *Site) *Process {
		return must(from.Start(ctx, "punch-"+to.Name(), "probe", "udp-recv", "-listen", ":4000",
			"-for", "3s", "-poke", outside(to), "-token", "from-"+from.Name()))(t)
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
