package testbed

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// SiteConfig describes a site.
type SiteConfig struct {
	Name string       // lower-case letters, digits, hyphens; also the host name
	NAT  NAT          // of its router
	LAN  netip.Prefix // IPv4; default 192.168.N.0/24, another at each site
	// Uplinks is how many interfaces the host has, eth0 and eth1, each with a router of its own; 0
	// is 1. The first is the default way, and what comes from the second's address leaves by it.
	Uplinks int
	// Tree is the unpacked Debian tree of the host, and so the version of its engine; default the
	// lab's. OldTree has Docker 20.10 and docker-compose 1.29.
	Tree string
}

// Site is one place with one Docker host behind one router. The embedded machine is the host: its
// Run and WriteFile act there, outside of containers.
type Site struct {
	*Machine
	Router  *Router   // the outermost of the first uplink: what the internet sees
	Routers []*Router // the outermost ones, one for each uplink
	Home    *Router   // between host and carrier, of DoubleNAT
	number  int
	addr    netip.Addr

	mu       sync.Mutex // guards what follows; held while the engine or evio starts or stops
	engine   *Process
	opts     EngineOptions
	answered time.Time // when the engine first did
	evio     *Process
}

var (
	siteName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,20}$`)
	reserved = regexp.MustCompile(`-(router2?|carrier)$`)
)

// AddSite starts a site, without its engine. Several can be added at once.
func (l *Lab) AddSite(ctx context.Context, c SiteConfig) (*Site, error) {
	return l.addSite(ctx, l.nextNumber(), c)
}

// AddSites starts several sites at once, numbered in their order.
func (l *Lab) AddSites(ctx context.Context, sites ...SiteConfig) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, c := range sites {
		number := l.nextNumber()
		group.Go(func() error {
			_, err := l.addSite(ctx, number, c)
			return err
		})
	}
	return group.Wait()
}

func (l *Lab) nextNumber() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.index++
	return l.index
}

func (l *Lab) addSite(ctx context.Context, number int, c SiteConfig) (*Site, error) {
	if !siteName.MatchString(c.Name) || c.Name == "internet" || reserved.MatchString(c.Name) {
		return nil, fmt.Errorf("site name %q: use lower-case letters, digits and hyphens", c.Name)
	}
	plan, err := planSite(number, &c)
	if err != nil {
		return nil, fmt.Errorf("site %s: %w", c.Name, err)
	}
	m, err := newMachine(ctx, l, c.Name, c.Tree)
	if err != nil {
		return nil, err
	}
	s := &Site{Machine: m, number: number, addr: plan[0].lan.host}
	for i := range plan {
		err := s.addUplink(ctx, i, c.NAT, &plan[i])
		if err == nil && len(plan) > 1 {
			err = s.routeBySource(ctx, i, plan[i].lan)
		}
		if err != nil {
			return nil, fmt.Errorf("site %s: %w", c.Name, err)
		}
	}
	s.Router = s.Routers[0]
	if err := writeHosts(ctx, m, c.NAT == IPv6Only); err != nil {
		return nil, fmt.Errorf("site %s: %w", c.Name, err)
	}
	l.mu.Lock()
	l.sites = append(l.sites, s)
	slices.SortFunc(l.sites, func(a, b *Site) int { return a.number - b.number })
	l.mu.Unlock()
	l.log.WithFields(map[string]any{"site": c.Name, "nat": c.NAT, "wan": s.Router.WAN(), "address": s.addr}).Info("site is up")
	return s, nil
}

// addUplink gives the host its interface number i and the routers behind it.
func (s *Site) addUplink(ctx context.Context, i int, nat NAT, u *uplink) error {
	const metric = 100 // of the first
	name := s.name + []string{routerSuffix, router2Suffix}[i]
	port := fmt.Sprintf("site%d-%d", s.number, i)
	if nat == DoubleNAT {
		return s.addCarrier(ctx, name, port, u)
	}
	r, err := newRouter(ctx, s.lab, name, port, nat, u)
	if err != nil {
		return err
	}
	s.Routers = append(s.Routers, r)
	return r.serve(ctx, s.Machine, fmt.Sprintf("eth%d", i), u.lan, metric*(i+1))
}

// routeBySource makes what comes from the address of interface number i leave by it.
func (s *Site) routeBySource(ctx context.Context, i int, lan segment) error {
	const table = 100 // of the first
	_, err := s.Script(ctx, fmt.Sprintf("ip route add default via %s dev eth%d table %d\nip rule add from %s lookup %d",
		lan.gate, i, table+i, lan.host, table+i))
	return err
}

// addCarrier puts the carrier's router between the site's and the internet.
func (s *Site) addCarrier(ctx context.Context, home, port string, u *uplink) error {
	carrier, err := newRouter(ctx, s.lab, s.name+carrierSuffix, port, DoubleNAT, u)
	if err != nil {
		return err
	}
	m, err := newMachine(ctx, s.lab, home, "")
	if err != nil {
		return err
	}
	s.Routers = append(s.Routers, carrier)
	if err := carrier.serve(ctx, m, "wan", u.carrier, 0); err != nil {
		return err
	}
	s.Home = &Router{
		Machine: m, nat: PortRestricted,
		wan: netip.PrefixFrom(u.carrier.host, u.carrier.prefix.Bits()), gateway: u.carrier.gate,
	}
	return s.Home.serve(ctx, s.Machine, "eth0", u.lan, 0)
}

// Addr is the host's address in its LAN, on interface eth0.
func (s *Site) Addr() netip.Addr { return s.addr }
