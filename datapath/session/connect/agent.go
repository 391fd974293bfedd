package connect

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/pion/ice/v4"

	"evio/datapath/icemux"
	"evio/datapath/session/path"
)

// Timing of the agents. A host candidate is nominated at once. A reflexive path waits for the
// answer on a host path, which is about to come if there is one; a relayed address of the peer
// waits for both.
const (
	checkInterval       = 200 * time.Millisecond
	maxChecks           = uint16(maxTime/checkInterval) + 1 // the peer may begin long after us
	reflexiveAcceptance = 200 * time.Millisecond
	turnAcceptance      = time.Second
)

// startAgent makes an ICE agent with the host candidates of a view and the peer's
// candidates, and starts its checks. It sends nothing after nomination: probe
// records keep the path.
func (l Local) startAgent(view *icemux.View, peer Parameters) (*ice.Agent, error) {
	options := []ice.AgentOption{
		ice.WithUDPMux(view),
		ice.WithLocalCredentials(l.Ufrag, l.Password),
		ice.WithCandidateTypes([]ice.CandidateType{ice.CandidateTypeHost}),
		ice.WithNetworkTypes([]ice.NetworkType{ice.NetworkTypeUDP4, ice.NetworkTypeUDP6}),
		ice.WithMulticastDNSMode(ice.MulticastDNSModeDisabled),
		ice.WithInterfaceFilter(func(string) bool { return false }), // the mux knows the interfaces
		ice.WithCheckInterval(checkInterval),
		ice.WithMaxBindingRequests(maxChecks),
		ice.WithHostAcceptanceMinWait(0),
		ice.WithSrflxAcceptanceMinWait(reflexiveAcceptance),
		ice.WithPrflxAcceptanceMinWait(reflexiveAcceptance),
		ice.WithRelayAcceptanceMinWait(turnAcceptance),
		ice.WithKeepaliveInterval(0),
		ice.WithDisconnectedTimeout(0),
		ice.WithFailedTimeout(0),
		ice.WithLoggerFactory(pionLog{l.Log}),
	}
	agent, err := ice.NewAgentWithOptions(options...)
	if err != nil {
		return nil, fmt.Errorf("make ICE agent: %w", err)
	}
	if err := l.start(agent, peer); err != nil {
		l.release(agent)
		return nil, err
	}
	return agent, nil
}

// start gives the agent the candidates of both ends and begins.
func (l Local) start(agent *ice.Agent, peer Parameters) error {
	if err := agent.OnCandidate(func(ice.Candidate) {}); err != nil { // required; the peer has ours already
		return fmt.Errorf("prepare ICE agent: %w", err)
	}
	if err := agent.GatherCandidates(); err != nil {
		return fmt.Errorf("gather ICE candidates: %w", err)
	}
	if err := addRemote(agent, peer); err != nil {
		return err
	}
	begin := agent.StartAccept
	if l.Controlling {
		begin = agent.StartDial
	}
	if _, err := begin(peer.Ufrag, peer.Password); err != nil {
		return fmt.Errorf("start ICE checks: %w", err)
	}
	return nil
}

// release closes an agent, which holds nothing that could be lost.
func (l Local) release(agent *ice.Agent) {
	if err := agent.GracefulClose(); err != nil {
		l.Log.WithError(err).Debug("close ICE agent")
	}
}

// addRemote gives the agent candidates of the peer; those it has change nothing.
func addRemote(agent *ice.Agent, peer Parameters) error {
	for _, c := range peer.Candidates {
		candidate, err := c.ICE(1).ToICE()
		if err == nil {
			err = agent.AddRemoteCandidate(candidate)
		}
		if err != nil {
			return fmt.Errorf("use candidate of peer: %w", err)
		}
	}
	return nil
}

// awaitPair waits until a pair is nominated.
func awaitPair(ctx context.Context, agent *ice.Agent) (path.Route, error) {
	if err := agent.AwaitConnect(ctx); err != nil {
		return path.Route{}, fmt.Errorf("find a path: %w", err)
	}
	pair, err := agent.GetSelectedCandidatePair()
	if err != nil || pair == nil {
		return path.Route{}, fmt.Errorf("find a path: no pair: %w", err)
	}
	local, errLocal := netip.ParseAddr(pair.Local.Address())
	remote, errRemote := netip.ParseAddr(pair.Remote.Address())
	if err := errors.Join(errLocal, errRemote); err != nil {
		return path.Route{}, fmt.Errorf("find a path: %w", err)
	}
	return path.Route{
		Local:  netip.AddrPortFrom(local, uint16(pair.Local.Port())),
		Remote: netip.AddrPortFrom(remote, uint16(pair.Remote.Port())),
	}, nil
}
