package session

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"evio/datapath/session/connect"
	"evio/datapath/session/path"
)

// connector carries out what connect.Machine decides while a session connects. The session's
// owner calls its methods.
type connector struct {
	s         *Session
	machine   *connect.Machine
	wanted    request         // newest request of Connect
	search    *connect.Search // nil before the first request
	handshake *firstHandshake // newest handshake, nil before the first request
	keyed     <-chan error    // of the newest handshake, until it has ended

	turn       *turnClient
	allocation allocation
}

// connect drives the session until it is established. It returns the driver of what follows.
func (s *Session) connect(ctx context.Context) (_ *pathDriver, err error) {
	c := &connector{s: s, machine: connect.NewMachine(s.transport.turnPool != nil)}
	defer func() { c.close(err != nil) }()
	timer := time.NewTimer(c.untilNext())
	defer timer.Stop()
	for {
		var work []connect.Effect
		select {
		case <-s.ending:
			return nil, s.endReason
		case <-s.confirmed:
			return newPathDriver(s, c.wanted.peer.Candidates, c.turn, c.allocation), nil
		case <-s.readdressed:
			if s.isElsewhere() {
				return nil, ErrAddresses
			}
		case <-s.wake:
			work = c.connect()
		case r := <-c.turn.offers():
			if c.allocation = r; r == nil { // direct paths are still tried
				work = c.machine.TURNLost(s.transport.now())
			} else {
				work = c.machine.TURNReady()
			}
		case <-c.turn.losses():
			work = c.machine.TURNLost(s.transport.now())
		case err := <-c.keyed:
			if err != nil {
				return nil, err
			}
			c.keyed = nil
			work = c.machine.Keyed(s.transport.now())
		case <-timer.C:
			work = c.machine.Tick(s.transport.now(), c.search.IsDone())
		}
		if err := c.do(ctx, work); err != nil {
			return nil, err
		}
		timer.Reset(c.untilNext())
	}
}

func (c *connector) untilNext() time.Duration { return c.machine.Next() - c.s.transport.now() }

// connect takes the newest request of Connect, if there is one.
func (c *connector) connect() []connect.Effect {
	wanted := c.s.takeWanted()
	if wanted == nil {
		return nil
	}
	c.wanted = *wanted
	return c.machine.Connect(c.s.transport.now(), wanted.peer.Ufrag, wanted.peer.Password)
}

// do carries out the machine's effects. The error is why the session ends.
func (c *connector) do(ctx context.Context, work []connect.Effect) error {
	s := c.s
	for _, effect := range work {
		switch effect {
		case connect.StopHandshake:
			c.handshake.stop()
		case connect.StartHandshake:
			c.handshake = startHandshake(ctx, s, c.search, c.wanted)
			c.keyed = c.handshake.keyed
		case connect.StartSearch:
			c.search.Stop()
			c.search = find(ctx, s, c.wanted.peer)
		case connect.UpdateSearch:
			c.search.Update(c.wanted.peer)
		case connect.AcquireTURN:
			c.turn = acquireTURN(ctx, s, c.wanted.peer.Candidates)
		case connect.PermitTURN:
			c.turn.permit(c.wanted.peer.Candidates)
		case connect.ReleaseTURN:
			c.turn.stop()
			c.turn, c.allocation = nil, nil
		case connect.SearchTURN:
			c.search.AddTURN(c.allocation)
		case connect.AnnounceTURN:
			s.announceTURN(c.allocation)
		case connect.Probe:
			s.sendProbe(s.keys.Sending())
		case connect.Expire:
			s.transport.gatherer.Forget() // the mappings may no longer be true
			return ErrTimeout
		}
	}
	return nil
}

// close ends what the connector has started. The allocation lives on in an established
// session.
func (c *connector) close(failed bool) {
	c.handshake.stop()
	c.search.Stop()
	if failed {
		c.turn.stop()
	}
}

// find starts to look for a path to a peer.
func find(ctx context.Context, s *Session, peer connect.Parameters) *connect.Search {
	local := connect.Local{
		Mux:         s.transport.mux,
		Hosts:       s.hosts,
		Ufrag:       s.own.Ufrag,
		Password:    s.own.Password,
		Controlling: s.lower,
		Log:         s.log,
		Refused:     s.limited,
	}
	return connect.Find(ctx, local, peer)
}

// announceTURN hands the own parameters to the handler again, with a relayed candidate more,
// unless the session is established by now.
func (s *Session) announceTURN(r allocation) {
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

// isElsewhere reports whether this machine has none of the addresses left that the peer knows.
func (s *Session) isElsewhere() bool {
	hosts, err := s.transport.gatherer.Hosts()
	return err == nil && !slices.ContainsFunc(s.hosts, func(h netip.AddrPort) bool { return slices.Contains(hosts, h) })
}

// takeWanted returns the newest request of Connect, nil if it was taken or the
// session is established without it.
func (s *Session) takeWanted() *request {
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted := s.wanted
	s.wanted = nil
	if s.state != Connecting {
		return nil
	}
	return wanted
}
