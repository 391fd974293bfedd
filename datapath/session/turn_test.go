package session

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"evio/datapath/session/connect"
	"evio/datapath/turn"
	"evio/datapath/udp"
)

// pool is a TURN server on the network: one allocation for all that ask, closed
// three seconds after the last has given it back.
type pool struct {
	network *network
	at      netip.AddrPort
	deliver func(r allocation, batch []udp.Datagram)
	refuse  error

	mu      sync.Mutex
	current *memoryAllocation
	users   int
	made    int
}

// turnOf gives a node a relay at an address.
func (n *network) turnOf(e *end, at string) *pool {
	p := &pool{network: n, at: netip.MustParseAddrPort(at), deliver: e.transport.deliverTURN}
	e.transport.turnPool = p
	return p
}

func (p *pool) Acquire(context.Context) (allocation, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuse != nil {
		return nil, p.refuse
	}
	if p.current == nil {
		p.made++
		socket := p.network.listen(p.at)
		r := &memoryAllocation{pool: p, socket: socket, done: make(chan struct{}), permitted: map[netip.Addr]bool{}}
		go func() {
			_ = socket.Run(func(batch []udp.Datagram) {
				for _, d := range batch {
					if r.permits(d.Remote.Addr()) {
						p.deliver(r, []udp.Datagram{d})
					}
				}
			}, nil)
		}()
		p.current = r
	}
	p.users++
	return p.current, nil
}

// setRefuse makes the server answer with an error, nil for none.
func (p *pool) setRefuse(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = err
}

func (p *pool) Suspect() {}

func (p *pool) Status() []turn.Status { return nil }

func (p *pool) Close() error {
	p.lose()
	return nil
}

// lose ends the allocation, and lets the next be at another port.
func (p *pool) lose() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current != nil {
		p.closeLocked()
	}
}

func (p *pool) closeLocked() {
	_ = p.current.socket.Close()
	p.current.socket.renumber()
	close(p.current.done)
	p.current, p.users = nil, 0
	p.at = netip.AddrPortFrom(p.at.Addr(), p.at.Port()+1)
}

// open reports whether there is an allocation.
func (p *pool) open() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current != nil
}

type memoryAllocation struct {
	pool   *pool
	socket *memorySocket
	done   chan struct{}

	mu        sync.Mutex
	permitted map[netip.Addr]bool
}

var _ allocation = (*memoryAllocation)(nil)

func (r *memoryAllocation) Addr() netip.AddrPort  { return r.socket.home }
func (r *memoryAllocation) Server() string        { return "turn:test" }
func (r *memoryAllocation) Transport() string     { return "tls" }
func (r *memoryAllocation) Done() <-chan struct{} { return r.done }
func (r *memoryAllocation) Err() error            { return errors.New("lost") }

func (r *memoryAllocation) Permit(_ context.Context, peers ...netip.Addr) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range peers {
		r.permitted[p] = true
	}
	return nil
}

func (r *memoryAllocation) permits(addr netip.Addr) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.permitted[addr]
}

func (r *memoryAllocation) Send(to netip.AddrPort, datagram []byte) error {
	_, err := r.SendRuns(to, []udp.Run{{Bytes: datagram, Size: len(datagram)}})
	return err
}

func (r *memoryAllocation) SendRuns(to netip.AddrPort, runs []udp.Run) (int, error) {
	return eachDatagram(runs, func(d []byte) error {
		if !r.permits(to.Addr()) {
			return errors.New("not permitted")
		}
		r.pool.network.send(r.socket.home, to, d)
		return nil
	})
}

func (r *memoryAllocation) Release() {
	time.AfterFunc(3*time.Second, func() {
		p := r.pool
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.current != r {
			return
		}
		if p.users--; p.users == 0 {
			p.closeLocked()
		}
	})
}

var relayNet = netip.MustParsePrefix("203.0.113.0/24")

// blockDirect lets only those datagrams pass that a relay sends or receives.
func (n *network) blockDirect() {
	n.impair(func(from, to netip.AddrPort, d []byte) [][]byte {
		if relayNet.Contains(from.Addr()) || relayNet.Contains(to.Addr()) {
			return [][]byte{d}
		}
		return nil
	})
}

// establishRelayed opens and connects a pair as an overlay does: whenever an end
// has newer parameters, both connect with the newest.
func establishRelayed(t *testing.T, a, b *end) {
	t.Helper()
	a.open(t, b, nil)
	b.open(t, a, nil)
	connectEnds(t, a, b)
	signal(t, a, b)
}

// signal connects both with newer parameters until they are established.
func signal(t *testing.T, a, b *end) {
	t.Helper()
	done := 0
	for done < 2 {
		select {
		case a.own = <-a.parameters:
		case b.own = <-b.parameters:
		case <-a.established:
			done++
			continue
		case <-b.established:
			done++
			continue
		case <-time.After(patience):
			t.Fatalf("not established within %v", patience)
		}
		advance(100 * time.Millisecond) // through the signalling service
		for _, e := range [][2]*end{{a, b}, {b, a}} {
			if err := e[0].session.Connect(e[1].own, bind(a, b)); err != nil && !errors.Is(err, ErrEstablished) {
				t.Fatal(err)
			}
		}
	}
}

func swap(t *testing.T, a, b *end) {
	t.Helper()
	for _, e := range [][2]*end{{a, b}, {b, a}} {
		if err := e[0].session.Send(Data, [][]byte{make([]byte, 5000)}); err != nil {
			t.Fatal(err)
		}
		e[1].frames(t, 1)
	}
}

func TestRelayServesWhereDirectPathsAreBlocked(t *testing.T) {
	for name, with := range map[string][2]bool{"the lower": {true, false}, "the higher": {false, true}, "both": {true, true}} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network, a, b *end) {
				lower, higher := a, b
				if ida, idb := a.id(), b.id(); slices.Compare(ida[:], idb[:]) > 0 {
					lower, higher = b, a
				}
				var pools []*pool
				if with[0] {
					pools = append(pools, n.turnOf(lower, "203.0.113.1:50000"))
				}
				if with[1] {
					pools = append(pools, n.turnOf(higher, "203.0.113.2:50000"))
				}
				n.blockDirect()
				began := time.Now()
				establishRelayed(t, a, b)
				if took := time.Since(began); took < connect.TURNAfter || took > 6*time.Second {
					t.Errorf("established after %v, want 3 s to 6 s", took)
				}
				swap(t, a, b)
				advance(5 * time.Second)
				for _, e := range []*end{a, b} {
					if info := e.session.Info(); info.Path != "relay" {
						t.Errorf("path is %s %v → %s %v, want a relay", info.LocalType, info.Local, info.RemoteType, info.Remote)
					}
				}
				for _, e := range []*end{a, b} {
					e.session.Close()
					e.waitClosed(t)
				}
				advance(4 * time.Second)
				for _, p := range pools {
					if p.open() {
						t.Error("the allocation is open 4 s after the session, want it given back")
					}
				}
			})
		})
	}
}

func TestRelayToRelay(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a, b *end) {
		n.turnOf(a, "203.0.113.1:50000")
		n.turnOf(b, "203.0.113.2:50000")
		n.impair(func(from, to netip.AddrPort, d []byte) [][]byte { // UDP works for neither
			if relayNet.Contains(from.Addr()) && relayNet.Contains(to.Addr()) {
				return [][]byte{d}
			}
			return nil
		})
		establishRelayed(t, a, b)
		swap(t, a, b)
		if info := a.session.Info(); info.LocalType != "relay" || info.RemoteType != "relay" || info.Relay != "turn:test" || info.RelayTransport != "tls" {
			t.Errorf("info = %+v, want a relay at both ends", info)
		}
	})
}

func TestNoRelayIsAskedForWhereADirectPathIs(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a, b *end) {
		p := n.turnOf(a, "203.0.113.1:50000")
		establish(t, a, b)
		advance(20 * time.Second)
		if p.made != 0 || len(a.parameters) != 0 {
			t.Errorf("%d allocations and %d sets of parameters more, want none", p.made, len(a.parameters))
		}
	})
}

func TestRefusingServersLeaveTheDirectPath(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a, b *end) {
		n.turnOf(a, "203.0.113.1:50000").refuse = errors.New("401")
		a.open(t, b, nil)
		b.open(t, a, nil)
		if err := a.session.Connect(b.own, bind(a, b)); err != nil {
			t.Fatal(err)
		}
		advance(9 * time.Second)
		if err := b.session.Connect(a.own, bind(a, b)); err != nil {
			t.Fatal(err)
		}
		await(t, a.established, "Established")
		await(t, b.established, "Established")
	})
}

func TestRelayedSessionMovesToTheDirectPath(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a, b *end) {
		pools := []*pool{n.turnOf(a, "203.0.113.1:50000"), n.turnOf(b, "203.0.113.2:50000")}
		n.blockDirect()
		establishRelayed(t, a, b)
		n.impair(nil)
		advance(7 * time.Second)
		for _, e := range []*end{a, b} {
			if info := e.session.Info(); info.Path != "direct" || info.Moves != 1 {
				t.Errorf("path is %s after %d moves, want direct after one", info.Path, info.Moves)
			}
		}
		swap(t, a, b)
		advance(15 * time.Second)
		for i, p := range pools {
			if p.open() {
				t.Errorf("allocation %d is open, want it given back", i)
			}
		}
		swap(t, a, b)
	})
}

func TestLostRelayIsReplaced(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a, b *end) {
		p := n.turnOf(a, "203.0.113.1:50000")
		n.blockDirect()
		establishRelayed(t, a, b)
		advance(2 * time.Second)
		p.lose()
		advance(4 * time.Second)
		if p.made != 2 {
			t.Errorf("%d allocations were made, want another for the one that was lost", p.made)
		}
		for _, e := range []*end{a, b} {
			if info := e.session.Info(); info.State != Established || info.Path != "relay" {
				t.Errorf("session is %v on a path of kind %s, want established on a relay", info.State, info.Path)
			}
		}
		swap(t, a, b)
		synctest.Wait()
	})
}
