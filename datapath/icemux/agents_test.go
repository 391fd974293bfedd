package icemux

import (
	"crypto/rand"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"

	"evio/datapath/drops"
	"evio/datapath/udp"
)

// TestTwoOverlaysOfTheSameTwoEngines runs the agents of four overlays between
// two muxes with one address each: every message must reach the agent of its own
// overlay, although all come from one address.
func TestTwoOverlaysOfTheSameTwoEngines(t *testing.T) {
	const overlays = 4
	var counters [2]drops.Counters
	socketA, socketB := &memory{}, &memory{}
	muxA, muxB := New(socketA, &counters[0]), New(socketB, &counters[1])
	var order sync.Mutex
	deliver := func(to *Mux, from netip.AddrPort) func(outgoing) {
		return func(o outgoing) {
			order.Lock()
			defer order.Unlock()
			to.Receive(udp.Datagram{Local: o.to.Addr(), Remote: from, Data: o.data})
		}
	}
	socketA.pass, socketB.pass = deliver(muxB, hostA), deliver(muxA, hostB)

	type side struct {
		agent           *ice.Agent
		ufrag, password string
	}
	start := func(m *Mux, host netip.AddrPort) side {
		s := side{ufrag: rand.Text()[:12], password: rand.Text()}
		var err error
		s.agent, err = ice.NewAgentWithOptions(
			ice.WithUDPMux(m.View([]netip.AddrPort{host}, nil, s.password)),
			ice.WithLocalCredentials(s.ufrag, s.password),
			ice.WithCandidateTypes([]ice.CandidateType{ice.CandidateTypeHost}),
			ice.WithNetworkTypes([]ice.NetworkType{ice.NetworkTypeUDP4}),
			ice.WithMulticastDNSMode(ice.MulticastDNSModeDisabled),
			ice.WithBindingRequestHandler(func(m *stun.Message, _, _ ice.Candidate, _ *ice.CandidatePair) bool {
				name, err := m.Get(stun.AttrUsername)
				if err != nil || string(name[:len(s.ufrag)]) != s.ufrag {
					t.Errorf("agent %s was handed a request to %s", s.ufrag, name)
				}
				return false
			}),
		)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.agent.GracefulClose() })
		return s
	}
	var wait sync.WaitGroup
	for range overlays {
		a, b := start(muxA, hostA), start(muxB, hostB)
		for _, end := range []struct {
			own, peer side
			host      netip.AddrPort
			dial      func(ufrag, password string) (*ice.Conn, error)
		}{
			{a, b, hostB, a.agent.StartDial},
			{b, a, hostA, b.agent.StartAccept},
		} {
			candidate, err := ice.NewCandidateHost(&ice.CandidateHostConfig{
				Network: "udp", Address: end.host.Addr().String(), Port: int(end.host.Port()), Component: 1,
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := end.own.agent.OnCandidate(func(ice.Candidate) {}); err != nil {
				t.Fatal(err)
			}
			if err := end.own.agent.GatherCandidates(); err != nil {
				t.Fatal(err)
			}
			if err := end.own.agent.AddRemoteCandidate(candidate); err != nil {
				t.Fatal(err)
			}
			if _, err := end.dial(end.peer.ufrag, end.peer.password); err != nil {
				t.Fatal(err)
			}
			wait.Go(func() {
				if err := end.own.agent.AwaitConnect(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
	}
	done := make(chan struct{})
	go func() {
		wait.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("agents do not connect")
	}
	for i := range counters {
		if n := counters[i].Get(drops.STUNTransaction); n != 0 {
			t.Errorf("mux %d lost %d responses", i, n)
		}
	}
}
