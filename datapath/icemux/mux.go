package icemux

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
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

// agent is what the mux knows of one ICE agent.
type agent struct {
	conns map[netip.Addr]*conn // by the address of the host candidate

	peers   []netip.AddrPort            // candidates of the peer, never shut out
	sources map[netip.AddrPort]struct{} // other addresses that requests came from

	// sent holds the last transactions in a ring, the next to be overwritten
	// at next.
	sent []transaction
	next int
}

// New makes a mux that sends by socket and counts into counters.
func New(socket Socket, counters *drops.Counters) *Mux {
	return &Mux{
		socket:   socket,
		drops:    counters,
		agents:   make(map[string]*agent),
		requests: make(map[transaction]receiver),
	}
}

// Receive routes one STUN datagram. It neither waits nor keeps its bytes.
func (m *Mux) Receive(d udp.Datagram) {
	msg, ok := parseMessage(d.Data)
	if !ok {
		m.drops.Add(drops.STUNMalformed)
		return
	}
	to, cause := m.route(msg, d.Local, d.Remote)
	if to == nil {
		m.drops.Add(cause)
		return
	}
	to.receive(d.Remote, d.Data, msg)
}

func (m *Mux) route(msg message, local netip.Addr, remote netip.AddrPort) (receiver, drops.Cause) {
	switch msg.typ {
	case typeBindingRequest:
		ufrag, ok := msg.ufrag()
		if !ok {
			return nil, drops.STUNUsername
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		a := m.agents[ufrag]
		if a == nil {
			return nil, drops.STUNUsername
		}
		c := a.conns[local]
		if c == nil {
			return nil, drops.STUNLocal
		}
		if !a.admits(remote) {
			return nil, drops.STUNSource
		}
		return c, 0
	case typeBindingSuccess, typeBindingError:
		m.mu.Lock()
		defer m.mu.Unlock()
		to := m.requests[msg.transaction]
		if to == nil {
			return nil, drops.STUNTransaction
		}
		return to, 0
	default:
		return nil, drops.STUNUnsupported
	}
}

// admits tells whether a request from this address may reach the agent, and
// gives a new address its place.
func (a *agent) admits(remote netip.AddrPort) bool {
	if _, known := a.sources[remote]; known || slices.Contains(a.peers, remote) {
		return true
	}
	if len(a.sources) == maxSources {
		return false
	}
	a.sources[remote] = struct{}{}
	return true
}

// open returns the connection of an agent at a host address and makes it, and
// the agent, if there is none.
func (m *Mux) open(ufrag string, local netip.AddrPort, peers []netip.AddrPort) (*conn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.agents[ufrag]
	if a == nil {
		if len(m.agents) >= maxAgents {
			return nil, fmt.Errorf("open ICE agent: %w", ErrFull)
		}
		a = &agent{
			conns:   make(map[netip.Addr]*conn),
			peers:   peers,
			sources: make(map[netip.AddrPort]struct{}),
		}
		m.agents[ufrag] = a
	}
	c := a.conns[local.Addr()]
	if c == nil {
		c = newConn(m, ufrag, local)
		a.conns[local.Addr()] = c
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

// remove forgets an agent and its requests.
func (m *Mux) remove(ufrag string) {
	m.mu.Lock()
	a := m.agents[ufrag]
	delete(m.agents, ufrag)
	if a != nil {
		for _, id := range a.sent {
			delete(m.requests, id)
		}
	}
	m.mu.Unlock()
	if a != nil {
		for _, c := range a.conns {
			c.inbox.Close()
		}
	}
}

// closeConn forgets one connection of an agent, and the agent with its last.
func (m *Mux) closeConn(c *conn) {
	m.mu.Lock()
	a := m.agents[c.ufrag]
	last := false
	if a != nil && a.conns[c.local.Addr()] == c {
		delete(a.conns, c.local.Addr())
		last = len(a.conns) == 0
	}
	m.mu.Unlock()
	if last {
		m.remove(c.ufrag)
	}
}

// Agents returns the number of agents that the mux serves.
func (m *Mux) Agents() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.agents)
}
