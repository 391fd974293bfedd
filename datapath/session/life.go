package session

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"evio/datapath/record"
	"evio/datapath/session/path"
)

const (
	gatherTimeout   = 1800 * time.Millisecond // so that own parameters are ready within two seconds
	connectTimeout  = 15 * time.Second
	connectMost     = 20 * time.Second // likewise, if the peer's candidates change meanwhile
	confirmInterval = 200 * time.Millisecond
)

// run owns the session from Open to the handler's Closed.
func (s *Session) run() {
	defer s.transport.owners.Done()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.finish(s.live(ctx))
}

// live leads the session through its states and returns why it ends.
func (s *Session) live(ctx context.Context) error {
	if !s.gather(ctx) {
		return s.endReason
	}
	pilot, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer pilot.close()
	s.startRekeying(ctx)
	defer s.stopRekeying()
	return s.serve(ctx, pilot)
}

// connect leads the session to its establishment.
func (s *Session) connect(ctx context.Context) (_ *pilot, err error) {
	var (
		peer     []path.Candidate
		paths    *finder  // at work since Connect
		trial    *attempt // likewise
		keyed    <-chan error
		deadline <-chan time.Time
		began    time.Time        // when paths did
		late     <-chan time.Time // a relay is needed
		hired    *tenant
		rented   relay
		pulse    = time.NewTimer(0) // repeats the first probe
	)
	<-pulse.C
	defer pulse.Stop()
	defer func() {
		trial.stop()
		paths.stop()
		if err != nil {
			hired.stop()
		}
	}()

	for {
		select {
		case <-s.ending:
			return nil, s.endReason

		case <-s.readdressed:
			if s.isElsewhere() {
				return nil, ErrAddresses
			}

		case <-s.wake:
			wanted := s.takeWanted()
			if wanted == nil {
				continue
			}
			trial.stop()
			peer = wanted.peer.Candidates
			if paths.serves(wanted.peer) {
				paths.update(wanted.peer)
				deadline = time.After(min(connectTimeout, connectMost-time.Since(began)))
			} else {
				paths.stop()
				paths = s.find(ctx, wanted.peer)
				if rented != nil {
					paths.relays <- rented
				}
				began, deadline = time.Now(), time.After(connectTimeout)
				if hired == nil && s.transport.relays != nil {
					late = time.After(relayAfter)
				}
			}
			if hired != nil {
				hired.permit(peer)
			}
			trial = s.begin(ctx, paths, *wanted)
			keyed = trial.keyed

		case <-late:
			late = nil
			if !paths.isDone() {
				hired = s.rent(ctx, peer)
			}

		case r := <-hired.offers():
			if rented = r; r == nil { // direct paths are still tried
				hired.stop()
				hired, late = nil, time.After(rentAgain)
				continue
			}
			paths.relays <- r
			s.tellRelay(r)

		case <-hired.losses():
			hired.stop()
			hired, rented, late = nil, nil, time.After(rentAgain)

		case err := <-keyed:
			if err != nil {
				return nil, err
			}
			keyed = nil
			s.sendProbe()
			pulse.Reset(confirmInterval)

		case <-deadline:
			s.transport.reflexive.drop() // what was told may be true no more
			return nil, ErrTimeout

		case <-s.confirmed:
			return newPilot(s, peer, hired, rented), nil

		case <-pulse.C:
			s.sendProbe()
			pulse.Reset(confirmInterval)
		}
	}
}

// serve keeps the session alive once it is established.
func (s *Session) serve(ctx context.Context, m *pilot) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-s.ending:
			return s.endReason
		case e := <-s.events:
			m.handle(e)
		case <-s.readdressed:
			m.readdress(ctx)
		case f := <-m.gathered:
			m.regathered(ctx, f)
		case r := <-m.hired.offers():
			m.rentedRelay(r)
		case <-m.hired.losses():
			m.lostRelay(ctx)
		case <-timer.C:
			if !m.tick(ctx) {
				return ErrPeerDead
			}
		}
		timer.Reset(m.next() - s.transport.now())
	}
}

// isElsewhere tells whether none of the addresses is left that the peer was told.
func (s *Session) isElsewhere() bool {
	hosts, err := s.transport.listHosts()
	return err == nil && !slices.ContainsFunc(s.hosts, func(h netip.AddrPort) bool { return slices.Contains(hosts, h) })
}

// takeWanted returns the newest request of Connect, nil if it was taken or the
// session is established without it.
func (s *Session) takeWanted() *connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted := s.wanted
	s.wanted = nil
	if s.state != Connecting {
		return nil
	}
	return wanted
}

// install puts path and keys of an attempt in the place of those of an earlier
// one, which have served until now: a record under them shows that the peer has
// settled on that attempt. It does nothing if such a record has come.
func (s *Session) install(p *boundPath, keys *record.Keys, secrets record.Secrets, proved *proving) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == Connecting {
		s.path.Store(p)
		s.keys.Begin(keys, secrets)
		proved.keep()
	}
}

// confirm is called by the reader with a record that is valid under keys: the
// peer has them too. The first one establishes the session. It returns false if
// the keys are out of use.
func (s *Session) confirm(keys *record.Keys) bool {
	s.calls.Lock()
	defer s.calls.Unlock()
	s.mu.Lock()
	current := !s.ended && s.state == Connecting && s.keys.Sending() == keys
	if current {
		s.state, s.established = Established, time.Now()
	}
	s.mu.Unlock()
	if current {
		close(s.confirmed)
		s.options.Handler.Established(s)
	}
	return current
}

// finish takes leave of the peer and of the handler.
func (s *Session) finish(reason error) {
	reason = s.unproved(reason)
	if s.State() == Established && !errors.Is(reason, ErrPeerClosed) {
		s.sendGoodbye()
	}
	s.transport.remove(s)
	s.mu.Lock()
	s.state = Closed
	s.mu.Unlock()
	s.keys.Clear()

	s.calls.Lock()
	defer s.calls.Unlock()
	s.ended = true
	s.options.Handler.Closed(s, reason)
}
