package session

import (
	"context"
	"errors"
	"time"

	"evio/datapath/record"
	"evio/datapath/session/connect"
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

// gather finds the candidates and hands the own parameters to the handler. It
// returns false if the session ends meanwhile.
func (s *Session) gather(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, connect.GatherTimeout)
	defer cancel()
	found := make(chan struct{})
	go func() { // joined below, in every case
		defer close(found)
		f := s.transport.gatherer.Gather(ctx)
		if f.Err != nil {
			s.log.WithError(f.Err).Warn("no candidates: this session will not connect")
		}
		s.hosts = f.Hosts
		s.setCandidates(f.Candidates)
	}()
	select {
	case <-found:
	case <-s.ending:
		cancel()
		<-found
		return false
	}
	s.mu.Lock()
	s.state = Ready
	s.mu.Unlock()

	s.calls.Lock()
	defer s.calls.Unlock()
	s.options.Handler.Parameters(s, s.own.Append(nil))
	return true
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
