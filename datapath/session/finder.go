package session

import (
	"context"
	"net/netip"
	"slices"
	"sync"

	"github.com/pion/ice/v4"

	"evio/datapath/icemux"
	"evio/datapath/session/path"
)

// maxRemotes is how many candidates of the peer a finder ever tries.
const maxRemotes = 32

// finder looks for a path by ICE. Attempts with the same peer credentials share
// one: a second agent would wait in vain for a nomination that the peer's agent
// has made already (RFC 8445 section 8.1.1: once only). It answers the peer's
// checks until it is stopped.
//
// An agent gathers once, so a relayed address gets an agent of its own with the
// same credentials. The peer takes the two for one; whichever pair is nominated
// first is the path.
type finder struct {
	ufrag, password string // of the peer
	cancel          context.CancelFunc
	done            chan struct{}
	newer           chan Parameters  // capacity 1: more candidates of the peer
	relays          chan relay       // capacity 1: one more own candidate
	admitted        []path.Candidate // of the peer, the owner's
	limited         func()           // counts those that are not

	found chan struct{} // closed when path or err is set
	path  *boundPath
	err   error
}

// searcher is one of the finder's agents.
type searcher struct {
	agent *ice.Agent
	view  *icemux.View
}

// pair is what an agent has found.
type pair struct {
	route path.Route
	relay relay // nil for a pair of the socket
	err   error
}

// find starts a finder; stop ends it.
func (s *Session) find(ctx context.Context, peer Parameters) *finder {
	ctx, cancel := context.WithCancel(ctx)
	f := &finder{
		ufrag:    peer.Ufrag,
		password: peer.Password,
		cancel:   cancel,
		done:     make(chan struct{}),
		newer:    make(chan Parameters, 1),
		relays:   make(chan relay, 1),
		found:    make(chan struct{}),
		limited:  s.limited,
	}
	peer = f.admit(peer)
	go func() {
		defer close(f.done)
		f.run(ctx, s, peer)
	}()
	return f
}

func (f *finder) run(ctx context.Context, s *Session, peer Parameters) {
	var searchers []searcher
	var waiters sync.WaitGroup
	pairs := make(chan pair)
	defer func() {
		for _, found := range searchers {
			s.release("ICE agent", found.agent.GracefulClose)
		}
		waiters.Wait()
	}()
	start := func(view *icemux.View, relay relay) {
		agent, err := s.startAgent(view, peer)
		if err != nil && relay == nil {
			f.finish(nil, err)
		}
		if err != nil {
			s.log.WithError(err).Debug("no ICE agent")
			return
		}
		searchers = append(searchers, searcher{agent, view})
		waiters.Go(func() {
			found := pair{relay: relay}
			found.route, found.err = awaitPair(ctx, agent)
			select {
			case pairs <- found:
			case <-ctx.Done():
			}
		})
	}
	start(s.transport.mux.View(s.hosts, addresses(peer.Candidates), s.own.Password), nil)
	for {
		select {
		case <-ctx.Done():
			return
		case found := <-pairs:
			if found.err != nil {
				f.finish(nil, found.err)
				continue
			}
			f.finish(s.pathOf(found.route, found.relay, peer.Candidates), nil)
		case r := <-f.relays:
			if f.isDone() {
				continue
			}
			start(s.transport.mux.RelayView(r, addresses(peer.Candidates), s.own.Password), r)
		case peer = <-f.newer:
			for _, found := range searchers {
				found.view.Admit(addresses(peer.Candidates))
				if err := s.addRemote(found.agent, peer); err != nil {
					s.log.WithError(err).Debug("newer candidates of the peer")
				}
			}
		}
	}
}

// pathOf makes the path of a route in the first slot.
func (s *Session) pathOf(r path.Route, relay relay, peer []path.Candidate) *boundPath {
	p := &boundPath{Route: r}
	if p.TURN = relay != nil; p.TURN {
		p.out = relay
	} else {
		p.out = s.transport.host(r.Local)
	}
	p.remoteType = path.TypeOf(peer, r.Remote)
	return p
}

// finish tells what was found first.
func (f *finder) finish(p *boundPath, err error) {
	if !f.isDone() {
		f.path, f.err = p, err
		close(f.found)
	}
}

// isDone tells whether there is a path, or will be none.
func (f *finder) isDone() bool {
	select {
	case <-f.found:
		return true
	default:
		return false
	}
}

// serves tells whether the finder is the one for these parameters.
func (f *finder) serves(peer Parameters) bool {
	return f != nil && f.ufrag == peer.Ufrag && f.password == peer.Password
}

// update hands over newer parameters of the peer. It is called by one goroutine.
func (f *finder) update(peer Parameters) {
	select {
	case <-f.newer: // older than these
	default:
	}
	f.newer <- f.admit(peer)
}

// admit leaves those candidates out that are too many: an agent sends checks to each
// that it was ever given.
func (f *finder) admit(peer Parameters) Parameters {
	peer.Candidates = slices.DeleteFunc(slices.Clone(peer.Candidates), func(c path.Candidate) bool {
		switch {
		case slices.Contains(f.admitted, c):
			return false
		case len(f.admitted) == maxRemotes:
			f.limited()
			return true
		}
		f.admitted = append(f.admitted, c)
		return false
	})
	return peer
}

// wait returns the path when it is found.
func (f *finder) wait(ctx context.Context) (*boundPath, error) {
	select {
	case <-f.found:
		return f.path, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// stop ends the finder, if there is one, and waits for all that it started.
func (f *finder) stop() {
	if f == nil {
		return
	}
	f.cancel()
	<-f.done
}

func addresses(candidates []path.Candidate) []netip.AddrPort {
	addrs := make([]netip.AddrPort, len(candidates))
	for i, c := range candidates {
		addrs[i] = c.Addr
	}
	return addrs
}
