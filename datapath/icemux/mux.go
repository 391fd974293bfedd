package icemux

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"evio/datapath/drops"
	"evio/datapath/udp"
)

// Socket is what the mux sends by.
type Socket interface {
	Source(local netip.Addr) udp.Source
	Send(source udp.Source, remote netip.AddrPort, datagram []byte) error
}

const (
	// maxRemembered is how many requests of one agent can be answered. At 16
	// pairs and five checks a second it is more than the four seconds for which
	// pion/ice itself remembers a check.
	maxRemembered = 512
	maxAgents     = 1024
	// maxSources is how many addresses other than the peer's candidates an agent
	// hears requests from. It makes a peer-reflexive candidate of each and checks
	// it, so whoever replays one request from forged addresses chooses where it
	// sends to. A peer needs one for each of its NATs, or for each pair where a
	// NAT maps by destination.
	maxSources = 32
)

// ErrFull is returned when the mux serves as many agents as it may.
var ErrFull = errors.New("too many sessions are connecting at once")

// Mux routes STUN messages between one socket and many agents.
type Mux struct {
	socket Socket
	drops  *drops.Counters

	mu       sync.Mutex
	agents   map[string]*agent // by local ufrag
	requests map[transaction]receiver
}

// receiver is who sent a request: a candidate's connection or a query.
type receiver interface {
	receive(from netip.AddrPort, datagram []byte, m message)
}

// agent is what the mux knows of the ICE agents of one ufrag, which share it:
// one at the socket and, where there is an allocation, one at the relayed address.
type agent struct {
	conns map[agentAddr]*conn

	// sent holds the last transactions in a ring, the next to be overwritten
	// at next.
	sent []transaction
	next int
}

// agentAddr is where an agent can be reached: an address of this machine, or the
// relayed address of an allocation with its port.
type agentAddr struct {
	addr netip.AddrPort // port 0: at the socket
}

func atSocket(local netip.Addr) agentAddr           { return agentAddr{netip.AddrPortFrom(local, 0)} }
func atAllocation(relayed netip.AddrPort) agentAddr { return agentAddr{relayed} }

// New makes a mux that sends by socket and counts into counters.
func New(socket Socket, counters *drops.Counters) *Mux {
	return &Mux{
		socket:   socket,
		drops:    counters,
		agents:   make(map[string]*agent),
		requests: make(map[transaction]receiver),
	}
}

// Receive routes one STUN datagram of the socket. It neither waits nor keeps its
// bytes.
func (m *Mux) Receive(d udp.Datagram) { m.receive(atSocket(d.Local), d.Remote, d.Data) }

// ReceiveTURN does the same with a datagram that came through a TURN server.
func (m *Mux) ReceiveTURN(relayed, from netip.AddrPort, datagram []byte) {
	m.receive(atAllocation(relayed), from, datagram)
}

func (m *Mux) receive(at agentAddr, from netip.AddrPort, datagram []byte) {
	msg, ok := parseMessage(datagram)
	if !ok {
		m.drops.Add(drops.STUNMalformed)
		return
	}
	to, stranger, cause := m.route(msg, at, from)
	if to == nil {
		m.drops.Add(cause)
		return
	}
	if stranger != nil {
		if cause, admitted := stranger.admit(from, datagram); !admitted {
			m.drops.Add(cause)
			return
		}
	}
	to.receive(from, datagram, msg)
}

// route returns whom a message is for, and the view that has to admit its source if that
// is not known there.
func (m *Mux) route(msg message, at agentAddr, remote netip.AddrPort) (to receiver, stranger *View, cause drops.Cause) {
	switch msg.typ {
	case typeBindingRequest:
		ufrag, ok := msg.ufrag()
		if !ok {
			return nil, nil, drops.STUNUsername
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		a := m.agents[ufrag]
		if a == nil {
			return nil, nil, drops.STUNUsername
		}
		c := a.conns[at]
		if c == nil {
			return nil, nil, drops.STUNLocal
		}
		if !c.view.knows(remote) {
			return c, c.view, 0
		}
		return c, nil, 0
	case typeBindingSuccess, typeBindingError:
		m.mu.Lock()
		defer m.mu.Unlock()
		to := m.requests[msg.transaction]
		if to == nil {
			return nil, nil, drops.STUNTransaction
		}
		return to, nil, 0
	default:
		return nil, nil, drops.STUNUnsupported
	}
}

// open returns the connection of a view's agent at a place and makes it if there
// is none.
func (m *Mux) open(ufrag string, local netip.AddrPort, v *View) (*conn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.agents[ufrag]
	if a == nil {
		if len(m.agents) >= maxAgents {
			return nil, fmt.Errorf("open ICE agent: %w", ErrFull)
		}
		a = &agent{conns: make(map[agentAddr]*conn)}
		m.agents[ufrag] = a
	}
	at := v.place(local)
	c := a.conns[at]
	if c == nil {
		c = newConn(v, ufrag, local)
		a.conns[at] = c
	}
	return c, nil
}

// remember notes that a request was sent, in the place of the agent's oldest.
func (m *Mux) remember(ufrag string, id transaction, from receiver) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.agents[ufrag]
	if a == nil {
		return
	}
	if len(a.sent) < maxRemembered {
		a.sent = append(a.sent, id)
	} else {
		delete(m.requests, a.sent[a.next])
		a.sent[a.next] = id
		a.next = (a.next + 1) % maxRemembered
	}
	m.requests[id] = from
}

// remove forgets those connections of an agent that doomed tells, and the
// agent with its last one.
func (m *Mux) remove(ufrag string, doomed func(*conn) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.agents[ufrag]
	if a == nil {
		return
	}
	for at, c := range a.conns {
		if doomed(c) {
			delete(a.conns, at)
			c.inbox.Close()
		}
	}
	if len(a.conns) > 0 {
		return
	}
	delete(m.agents, ufrag)
	for _, id := range a.sent {
		delete(m.requests, id)
	}
}

// Agents returns the number of agents that the mux serves.
func (m *Mux) Agents() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.agents)
}
