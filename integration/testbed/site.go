package testbed

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// SiteConfig describes a site.
type SiteConfig struct {
	Name string       // lower-case letters, digits, hyphens; also the host name
	NAT  NAT          // of its router
	LAN  netip.Prefix // IPv4; default 192.168.N.0/24, another at each site
}

// Site is one place with one Docker host behind one router. The embedded machine is the host: its
// Run and WriteFile act there, outside of containers.
type Site struct {
	*Machine
	Router *Router
	number int
	addr   netip.Addr

	mu     sync.Mutex // guards what follows; held while the engine starts or stops
	engine *Process
	opts   EngineOptions
}

var siteName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,20}$`)

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
	if !siteName.MatchString(c.Name) || c.Name == "internet" || strings.HasSuffix(c.Name, routerSuffix) {
		return nil, fmt.Errorf("site name %q: use lower-case letters, digits and hyphens", c.Name)
	}
	p, err := planSite(number, c.NAT, c.LAN)
	if err != nil {
		return nil, fmt.Errorf("site %s: %w", c.Name, err)
	}
	m, err := newMachine(ctx, l, c.Name)
	if err != nil {
		return nil, err
	}
	s := &Site{Machine: m, number: number, addr: p.host}
	if s.Router, err = newRouter(ctx, l, number, c.NAT, p, m); err != nil {
		return nil, fmt.Errorf("site %s: %w", c.Name, err)
	}
	if err := writeHosts(ctx, m); err != nil {
		return nil, fmt.Errorf("site %s: %w", c.Name, err)
	}
	l.mu.Lock()
	l.sites = append(l.sites, s)
	slices.SortFunc(l.sites, func(a, b *Site) int { return a.number - b.number })
	l.mu.Unlock()
	l.log.WithFields(map[string]any{"site": c.Name, "nat": c.NAT, "wan": p.wan, "address": p.host}).Info("site is up")
	return s, nil
}

// Addr is the host's address in its LAN, on interface eth0.
func (s *Site) Addr() netip.Addr { return s.addr }
