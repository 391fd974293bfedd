package session

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/pion/ice/v4"
)

// Timing of the agents. A host candidate is nominated at once; a reflexive
// path waits for the host path's answer, which is on its way if there is one.
const (
	checkInterval       = 200 * time.Millisecond
	maxChecks           = uint16(connectTimeout/checkInterval) + 1 // the peer may begin long after us
	reflexiveAcceptance = 200 * time.Millisecond
)

// newAgent makes an ICE agent with the session's host candidates and the peer's
// candidates. It sends nothing after nomination: probe records keep the path.
func (s *Session) newAgent(peer Parameters) (*ice.Agent, error) {
	candidates, addrs, err := s.candidatesOf(peer)
	if err != nil {
		return nil, err
	}
	options := []ice.AgentOption{
		ice.WithUDPMux(s.transport.mux.View(s.hosts, addrs)),
		ice.WithLocalCredentials(s.own.Ufrag, s.own.Password),
		ice.WithCandidateTypes([]ice.CandidateType{ice.CandidateTypeHost}),
		ice.WithNetworkTypes([]ice.NetworkType{ice.NetworkTypeUDP4, ice.NetworkTypeUDP6}),
		ice.WithMulticastDNSMode(ice.MulticastDNSModeDisabled),
		ice.WithInterfaceFilter(func(string) bool { return false }), // the mux knows the interfaces
		ice.WithCheckInterval(checkInterval),
		ice.WithMaxBindingRequests(maxChecks),
		ice.WithHostAcceptanceMinWait(0),
		ice.WithSrflxAcceptanceMinWait(reflexiveAcceptance),
		ice.WithPrflxAcceptanceMinWait(reflexiveAcceptance),
		ice.WithKeepaliveInterval(0),
		ice.WithDisconnectedTimeout(0),
		ice.WithFailedTimeout(0),
		ice.WithLoggerFactory(pionLog{s.log}),
	}
	agent, err := ice.NewAgentWithOptions(options...)
	if err != nil {
		return nil, fmt.Errorf("make ICE agent: %w", err)
	}
	if err := feed(agent, candidates); err != nil {
		s.release("ICE agent", agent.GracefulClose)
		return nil, err
	}
	return agent, nil
}

// candidatesOf returns the candidates of a peer that agents are given, and
// their addresses.
func (s *Session) candidatesOf(peer Parameters) (candidates []ice.Candidate, addrs []netip.AddrPort, err error) {
	for _, c := range peer.Candidates {
		if !s.transport.usable(c.Addr) {
			continue
		}
		candidate, err := iceCandidate(c)
		if err != nil {
			return nil, nil, fmt.Errorf("use candidate of peer: %w", err)
		}
		if candidate == nil {
			continue
		}
		candidates, addrs = append(candidates, candidate), append(addrs, c.Addr)
	}
	return candidates, addrs, nil
}

// feed gives the agent the candidates of both ends.
func feed(agent *ice.Agent, remote []ice.Candidate) error {
	if err := agent.OnCandidate(func(ice.Candidate) {}); err != nil { // required; ours are told already
		return fmt.Errorf("prepare ICE agent: %w", err)
	}
	if err := agent.GatherCandidates(); err != nil {
		return fmt.Errorf("gather ICE candidates: %w", err)
	}
	for _, candidate := range remote {
		if err := agent.AddRemoteCandidate(candidate); err != nil {
			return fmt.Errorf("use candidate of peer: %w", err)
		}
	}
	return nil
}

// iceCandidate returns nil for a type that agents are not given.
func iceCandidate(c Candidate) (ice.Candidate, error) {
	const component = 1
	switch c.Type {
	case Host:
		return ice.NewCandidateHost(&ice.CandidateHostConfig{
			Network: "udp", Address: c.Addr.Addr().String(), Port: int(c.Addr.Port()), Component: component,
		})
	case Reflexive:
		return ice.NewCandidateServerReflexive(&ice.CandidateServerReflexiveConfig{
			Network: "udp", Address: c.Addr.Addr().String(), Port: int(c.Addr.Port()), Component: component,
		})
	default:
		return nil, nil // a type of later versions
	}
}

// findPath runs the checks until a pair is nominated.
func (s *Session) findPath(ctx context.Context, agent *ice.Agent, peer Parameters) (*path, error) {
	start := agent.StartAccept
	if s.lower {
		start = agent.StartDial
	}
	if _, err := start(peer.Ufrag, peer.Password); err != nil {
		return nil, fmt.Errorf("start ICE checks: %w", err)
	}
	if err := agent.AwaitConnect(ctx); err != nil {
		return nil, fmt.Errorf("find a path: %w", err)
	}
	pair, err := agent.GetSelectedCandidatePair()
	if err != nil || pair == nil {
		return nil, fmt.Errorf("find a path: no pair: %w", err)
	}
	local, err := netip.ParseAddr(pair.Local.Address())
	if err != nil {
		return nil, fmt.Errorf("find a path: %w", err)
	}
	remote, err := netip.ParseAddr(pair.Remote.Address())
	if err != nil {
		return nil, fmt.Errorf("find a path: %w", err)
	}
	return &path{
		source:     s.transport.socket.Source(local),
		port:       uint16(pair.Local.Port()),
		remote:     netip.AddrPortFrom(remote, uint16(pair.Remote.Port())),
		localType:  pair.Local.Type().String(),
		remoteType: pair.Remote.Type().String(),
	}, nil
}
