package session

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"

	"evio/datapath/drops"
	"evio/datapath/icemux"
	"evio/datapath/session/path"
)

const (
	maxSTUN = 4

	// resolveTimeout leaves gatherTimeout long enough to ask and ask again.
	resolveTimeout = 600 * time.Millisecond

	// A mapping outlives this in every NAT, and sessions that open together
	// need not ask one after the other.
	reflexiveFresh = 15 * time.Second
	emptyFresh     = 3 * time.Second
)

// credentials makes a local ufrag and password (RFC 8445 section 5.3): 72 and
// 192 random bits.
func credentials() (ufrag, password string, err error) {
	var b [9 + 24]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", "", err
	}
	text := base64.RawStdEncoding.EncodeToString(b[:])
	return text[:12], text[12:], nil
}

// gather finds the candidates and hands the own parameters to the handler. It
// returns false if the session ends meanwhile.
func (s *Session) gather(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, gatherTimeout)
	defer cancel()
	found := make(chan struct{})
	go func() { // joined below, in every case
		defer close(found)
		f := s.transport.candidates(ctx)
		if f.err != nil {
			s.log.WithError(f.err).Warn("no candidates: this session will not connect")
		}
		s.hosts = f.hosts
		s.setCandidates(f.all)
	}()
	select {
	case <-found:
	case <-s.ending:
		cancel()
		<-found
		return false
	}
	s.mu.Lock()
	s.state = Ready
	s.mu.Unlock()

	s.calls.Lock()
	defer s.calls.Unlock()
	s.options.Handler.Parameters(s, s.own.Append(nil))
	return true
}

// found is what can be said of the own addresses.
type found struct {
	hosts []netip.AddrPort
	all   []path.Candidate // hosts first, none relayed
	err   error
}

// candidates finds the own addresses and what NATs show of them.
func (t *Transport) candidates(ctx context.Context) (f found) {
	if f.hosts, f.err = t.listHosts(); f.err != nil {
		return f
	}
	bases := make([]netip.Addr, len(f.hosts))
	for i, host := range f.hosts {
		bases[i] = host.Addr()
		f.all = append(f.all, path.Candidate{Type: webrtc.ICECandidateTypeHost, Addr: host})
	}
	for _, m := range t.reflexive.ask(ctx, t, bases) {
		c := path.Candidate{Type: webrtc.ICECandidateTypeSrflx, Addr: m.Mapped}
		if m.Mapped.Addr() != m.Base && path.HasRoom(f.all, c) {
			f.all = append(f.all, c)
		}
	}
	return f
}

// listHosts returns the own addresses as they are now.
func (t *Transport) listHosts() ([]netip.AddrPort, error) {
	bases, err := t.hosts(t.filter)
	if err != nil {
		return nil, err
	}
	hosts := make([]netip.AddrPort, len(bases))
	for i, base := range bases {
		hosts[i] = netip.AddrPortFrom(base, uint16(t.Port()))
	}
	return hosts, nil
}

// candidates returns the own candidates as they are told.
func (s *Session) candidates() []path.Candidate {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.own.Candidates
}

func (s *Session) setCandidates(candidates []path.Candidate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.own.Candidates = candidates
}

// setPeer keeps what the peer has told, for Info.
func (s *Session) setPeer(candidates []path.Candidate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peer = candidates
}

// usable returns those candidates of the peer that are tried.
func (s *Session) usable(candidates []path.Candidate) []path.Candidate {
	kept, removed := path.LimitPrivate(s.transport.usable(candidates), s.hosts)
	s.drops.AddN(drops.PathLimit, removed)
	return kept
}

// tellRelay hands the own parameters to the handler again, with a relayed
// candidate more, unless the session is established by now.
func (s *Session) tellRelay(r relay) {
	s.calls.Lock()
	defer s.calls.Unlock()
	s.mu.Lock()
	s.own.Candidates = path.WithTURN(s.own.Candidates, r.Addr())
	own, connecting := s.own, s.state == Connecting
	s.mu.Unlock()
	if connecting {
		s.options.Handler.Parameters(s, own.Append(nil))
	}
}

// reflexive remembers what the STUN servers answered, for all sessions.
type reflexive struct {
	turn  chan struct{} // capacity 1: held while asking or reading what follows
	stale atomic.Bool   // what was found counts no more

	asked  time.Time
	bases  []netip.Addr
	found  []icemux.Mapping
	silent bool // no server answered; warned of once
}

// ask returns the mappings of the bases, which are asked for once by all who
// want them at the same time.
func (r *reflexive) ask(ctx context.Context, t *Transport, bases []netip.Addr) []icemux.Mapping {
	if len(t.reflectors) == 0 {
		return nil
	}
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
	servers := t.resolveSTUN(ctx)
	found := t.mux.Reflexive(ctx, bases, servers)
	if len(found) == 0 && ctx.Err() != nil {
		return nil
	}
	if silent := len(found) == 0; silent != r.silent {
		r.silent = silent
		if silent {
			t.log.WithField("servers", hostPorts(t.reflectors)).Warn("no STUN server answers: peers behind other NATs may not reach this node")
		}
	}
	r.asked, r.bases, r.found = time.Now(), bases, found
	return found
}

// drop forgets the mappings: a NAT may show others by now.
func (r *reflexive) drop() { r.stale.Store(true) }

// resolveSTUN returns the addresses of the servers whose names are resolved in
// time, in the order in which they are configured.
func (t *Transport) resolveSTUN(ctx context.Context) []netip.AddrPort {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	asked := t.reflectors[:min(len(t.reflectors), maxSTUN)]
	found := make([][]netip.AddrPort, len(asked))
	var lookups sync.WaitGroup
	for i, server := range asked {
		lookups.Go(func() {
			var err error
			if found[i], err = t.resolve(ctx, server); err != nil {
				t.log.WithError(err).Warnf("STUN server %s cannot be resolved", hostPort(server))
			}
		})
	}
	lookups.Wait()
	return slices.Concat(found...)
}

// resolve returns the first address of each family of a server.
func (t *Transport) resolve(ctx context.Context, server *stun.URI) ([]netip.AddrPort, error) {
	addrs, err := t.lookup(ctx, "ip", server.Host)
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
