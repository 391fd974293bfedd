package connect

import (
	"context"
	"net/netip"
	"slices"
	"sync"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"
	"github.com/sirupsen/logrus"

	"evio/datapath/icemux"
	"evio/datapath/session/path"
	"evio/datapath/udp"
)

// maxRemotes is how many candidates of the peer a search ever tries.
const maxRemotes = 32

// Local is the own end of a search.
type Local struct {
	Mux             *icemux.Mux
	Hosts           []netip.AddrPort // own addresses
	Ufrag, Password string           // own ICE credentials
	Controlling     bool             // this end nominates the pair (RFC 8445 section 6.1.1)
	Log             *logrus.Entry
	Refused         func() // called for each candidate of the peer that is one too many
}

// Search looks for a path by ICE. Handshakes with the same peer credentials share one: a
// second agent would wait in vain for a nomination that the peer's agent has made already
// (RFC 8445 section 8.1.1: once only). It answers the peer's checks until it is stopped.
//
// An agent gathers once, so a relayed address gets an agent of its own with the same
// credentials. The peer takes the two for one; whichever pair is nominated first is the path.
//
// Its methods are called by one goroutine, except Wait, which may be called by others too.
type Search struct {
	local           Local
	ufrag, password string // of the peer
	cancel          context.CancelFunc
	done            chan struct{}
	newer           chan Parameters  // capacity 1: more candidates of the peer
	turn            chan Allocation  // capacity 1: one more own candidate
	admitted        []path.Candidate // of the peer, the owner's

	finished chan struct{} // closed when found or err is set
	found    Found
	err      error
}

// Allocation is a relayed address of a TURN server, as a search uses it and hands it back.
type Allocation interface {
	icemux.Allocation
	// SendRuns sends datagrams and returns how many were sent, which is all unless there is
	// an error.
	SendRuns(to netip.AddrPort, runs []udp.Run) (int, error)
}

// Found is a path that a search has found.
type Found struct {
	Route      path.Route
	TURN       Allocation              // carries the route at this end, nil if none does
	RemoteType webrtc.ICECandidateType // what the peer calls its end
}

// searcher is one of the search's agents.
type searcher struct {
	agent *ice.Agent
	view  *icemux.View
}

// pair is what an agent has found.
type pair struct {
	route path.Route
	turn  Allocation // nil for a pair of the socket
	err   error
}

// Find starts to look for a path to a peer. Stop ends it.
func Find(ctx context.Context, local Local, peer Parameters) *Search {
	ctx, cancel := context.WithCancel(ctx)
	s := &Search{
		local:    local,
		ufrag:    peer.Ufrag,
		password: peer.Password,
		cancel:   cancel,
		done:     make(chan struct{}),
		newer:    make(chan Parameters, 1),
		turn:     make(chan Allocation, 1),
		finished: make(chan struct{}),
	}
	peer = s.admit(peer)
	go func() {
		defer close(s.done)
		s.run(ctx, peer)
	}()
	return s
}

func (s *Search) run(ctx context.Context, peer Parameters) {
	var searchers []searcher
	var waiters sync.WaitGroup
	pairs := make(chan pair)
	defer func() {
		for _, found := range searchers {
			s.local.release(found.agent)
		}
		waiters.Wait()
	}()
	start := func(view *icemux.View, turn Allocation) {
		agent, err := s.local.startAgent(view, peer)
		if err != nil && turn == nil {
			s.finish(Found{}, err)
		}
		if err != nil {
			s.local.Log.WithError(err).Debug("no ICE agent")
			return
		}
		searchers = append(searchers, searcher{agent, view})
		waiters.Go(func() {
			found := pair{turn: turn}
			found.route, found.err = awaitPair(ctx, agent)
			select {
			case pairs <- found:
			case <-ctx.Done():
			}
		})
	}
	start(s.local.Mux.View(s.local.Hosts, addresses(peer.Candidates), s.local.Password), nil)
	for {
		select {
		case <-ctx.Done():
			return
		case found := <-pairs:
			if found.err != nil {
				s.finish(Found{}, found.err)
				continue
			}
			route := found.route
			route.TURN = found.turn != nil
			s.finish(Found{Route: route, TURN: found.turn, RemoteType: path.TypeOf(peer.Candidates, route.Remote)}, nil)
		case turn := <-s.turn:
			if s.IsDone() {
				continue
			}
			start(s.local.Mux.TURNView(turn, addresses(peer.Candidates), s.local.Password), turn)
		case peer = <-s.newer:
			for _, found := range searchers {
				found.view.Admit(addresses(peer.Candidates))
				if err := addRemote(found.agent, peer); err != nil {
					s.local.Log.WithError(err).Debug("newer candidates of the peer")
				}
			}
		}
	}
}

// finish records the first result.
func (s *Search) finish(found Found, err error) {
	if !s.IsDone() {
		s.found, s.err = found, err
		close(s.finished)
	}
}

// IsDone reports whether there is a path, or will be none.
func (s *Search) IsDone() bool {
	select {
	case <-s.finished:
		return true
	default:
		return false
	}
}

// Update hands over newer parameters of the peer, which have the same credentials.
func (s *Search) Update(peer Parameters) {
	select {
	case <-s.newer: // older than these
	default:
	}
	s.newer <- s.admit(peer)
}

// AddTURN adds a relayed address of this node to the search. It is called once.
func (s *Search) AddTURN(turn Allocation) { s.turn <- turn }

// admit leaves out the candidates that are too many: an agent sends checks to each that it
// was ever given.
func (s *Search) admit(peer Parameters) Parameters {
	peer.Candidates = slices.DeleteFunc(slices.Clone(peer.Candidates), func(c path.Candidate) bool {
		switch {
		case slices.Contains(s.admitted, c):
			return false
		case len(s.admitted) == maxRemotes:
			s.local.Refused()
			return true
		}
		s.admitted = append(s.admitted, c)
		return false
	})
	return peer
}

// Wait returns the path when it is found, or why there will be none.
func (s *Search) Wait(ctx context.Context) (Found, error) {
	select {
	case <-s.finished:
		return s.found, s.err
	case <-ctx.Done():
		return Found{}, ctx.Err()
	}
}

// Stop ends the search, if there is one, and waits for all that it started.
func (s *Search) Stop() {
	if s == nil {
		return
	}
	s.cancel()
	<-s.done
}

func addresses(candidates []path.Candidate) []netip.AddrPort {
	addrs := make([]netip.AddrPort, len(candidates))
	for i, c := range candidates {
		addrs[i] = c.Addr
	}
	return addrs
}
