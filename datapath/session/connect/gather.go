package connect

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"
	"github.com/sirupsen/logrus"

	"evio/datapath/icemux"
	"evio/datapath/session/path"
)

const (
	// GatherTimeout leaves time to hand over the own parameters within two seconds.
	GatherTimeout = 1800 * time.Millisecond

	maxSTUN = 4 // servers that are asked

	// resolveTimeout leaves enough of GatherTimeout to ask the servers, and ask again.
	resolveTimeout = 600 * time.Millisecond

	// A mapping outlives reflexiveFresh in every NAT. Sessions that open together share
	// the answers.
	reflexiveFresh = 15 * time.Second
	emptyFresh     = 3 * time.Second
)

// Credentials makes a local ufrag and password (RFC 8445 section 5.3): 72 and
// 192 random bits.
func Credentials() (ufrag, password string, err error) {
	var b [9 + 24]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", "", err
	}
	text := base64.RawStdEncoding.EncodeToString(b[:])
	return text[:12], text[12:], nil
}

// Gatherer finds the own candidates, for all sessions of a process. Its fields are set before
// its first use; its methods may be called by several goroutines at once.
type Gatherer struct {
	Mux    *icemux.Mux
	Addrs  func() ([]netip.Addr, error)                                          // addresses of this machine
	Port   func() int                                                            // UDP port of all sessions
	STUN   []*stun.URI                                                           // servers; at most four are asked
	Lookup func(ctx context.Context, network, host string) ([]netip.Addr, error) // resolves their names
	Log    *logrus.Entry

	mappings mappings
}

// NewGatherer returns a gatherer whose exported fields are to be set.
func NewGatherer() *Gatherer { return &Gatherer{mappings: mappings{turn: make(chan struct{}, 1)}} }

// Gathered is what can be said of the own addresses.
type Gathered struct {
	Hosts      []netip.AddrPort
	Candidates []path.Candidate // hosts first, none relayed
	Err        error
}

// Gather finds the own addresses and what NATs show of them, as far as it can before the
// context ends. Callers give it GatherTimeout.
func (g *Gatherer) Gather(ctx context.Context) (f Gathered) {
	if f.Hosts, f.Err = g.Hosts(); f.Err != nil {
		return f
	}
	bases := make([]netip.Addr, len(f.Hosts))
	for i, host := range f.Hosts {
		bases[i] = host.Addr()
		f.Candidates = append(f.Candidates, path.Candidate{Type: webrtc.ICECandidateTypeHost, Addr: host})
	}
	for _, m := range g.reflexive(ctx, bases) {
		c := path.Candidate{Type: webrtc.ICECandidateTypeSrflx, Addr: m.Mapped}
		if m.Mapped.Addr() != m.Base && path.HasRoom(f.Candidates, c) {
			f.Candidates = append(f.Candidates, c)
		}
	}
	return f
}

// Hosts returns the own addresses as they are now.
func (g *Gatherer) Hosts() ([]netip.AddrPort, error) {
	bases, err := g.Addrs()
	if err != nil {
		return nil, err
	}
	hosts := make([]netip.AddrPort, len(bases))
	for i, base := range bases {
		hosts[i] = netip.AddrPortFrom(base, uint16(g.Port()))
	}
	return hosts, nil
}

// mappings are what the STUN servers answered last.
type mappings struct {
	turn  chan struct{} // capacity 1: held while asking or reading what follows
	stale atomic.Bool   // what was found no longer counts

	asked  time.Time
	bases  []netip.Addr
	found  []icemux.Mapping
	silent bool // no server answered; warned of once
}

// reflexive returns the mappings of the bases. Callers at the same time share one answer.
func (g *Gatherer) reflexive(ctx context.Context, bases []netip.Addr) []icemux.Mapping {
	if len(g.STUN) == 0 {
		return nil
	}
	r := &g.mappings
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return nil
	}
	fresh := reflexiveFresh
	if len(r.found) == 0 {
		fresh = emptyFresh
	}
	if !r.stale.Swap(false) && !r.asked.IsZero() && time.Since(r.asked) < fresh && slices.Equal(r.bases, bases) {
		return r.found
	}
	servers := g.resolveSTUN(ctx)
	found := g.Mux.Reflexive(ctx, bases, servers)
	if len(found) == 0 && ctx.Err() != nil {
		return nil
	}
	if silent := len(found) == 0; silent != r.silent {
		r.silent = silent
		if silent {
			g.Log.WithField("servers", ServerNames(g.STUN)).Warn("no STUN server answers: peers behind other NATs may not reach this node")
		}
	}
	r.asked, r.bases, r.found = time.Now(), bases, found
	return found
}

// Forget forgets the mappings, because a NAT may show others by now.
func (g *Gatherer) Forget() { g.mappings.stale.Store(true) }

// resolveSTUN returns the addresses of the servers whose names are resolved in
// time, in the order in which they are configured.
func (g *Gatherer) resolveSTUN(ctx context.Context) []netip.AddrPort {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	asked := g.STUN[:min(len(g.STUN), maxSTUN)]
	found := make([][]netip.AddrPort, len(asked))
	var lookups sync.WaitGroup
	for i, server := range asked {
		lookups.Go(func() {
			var err error
			if found[i], err = g.resolve(ctx, server); err != nil {
				g.Log.WithError(err).Warnf("STUN server %s cannot be resolved", serverName(server))
			}
		})
	}
	lookups.Wait()
	return slices.Concat(found...)
}

// resolve returns the first address of each family of a server.
func (g *Gatherer) resolve(ctx context.Context, server *stun.URI) ([]netip.AddrPort, error) {
	addrs, err := g.Lookup(ctx, "ip", server.Host)
	if err != nil {
		return nil, err
	}
	var servers []netip.AddrPort
	var v4, v6 bool
	for _, addr := range addrs {
		addr = addr.Unmap()
		seen := &v6
		if addr.Is4() {
			seen = &v4
		}
		if !*seen {
			servers = append(servers, netip.AddrPortFrom(addr, uint16(server.Port)))
		}
		*seen = true
	}
	return servers, nil
}

// serverName is how a server is named in a message.
func serverName(u *stun.URI) string { return strings.TrimPrefix(u.String(), "stun:") }

// ServerNames returns how servers are named in messages.
func ServerNames(servers []*stun.URI) (names []string) {
	for _, u := range servers {
		names = append(names, serverName(u))
	}
	return names
}
