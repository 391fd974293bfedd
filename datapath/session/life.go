package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"evio/datapath/drops"
	"evio/datapath/record"
	"evio/datapath/session/connect"
	"evio/datapath/session/path"
)

// run owns the session from Open to the handler's Closed.
func (s *Session) run() {
	defer s.transport.owners.Done()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.finish(s.live(ctx))
}

// live takes the session through its states and returns why it ends.
func (s *Session) live(ctx context.Context) error {
	if !s.gather(ctx) {
		return s.endReason
	}
	driver, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer driver.close()
	startRekeyer(ctx, s)
	defer stopRekeyer(s)
	return s.serve(ctx, driver)
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
func (s *Session) serve(ctx context.Context, d *pathDriver) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-s.ending:
			return s.endReason
		case e := <-s.events:
			d.handle(e)
		case <-s.readdressed:
			d.readdress(ctx)
		case f := <-d.gathered:
			d.regathered(ctx, f)
		case r := <-d.turn.offers():
			d.turnReady(r)
		case <-d.turn.losses():
			d.turnLost(ctx)
		case <-timer.C:
			if !d.tick(ctx) {
				return ErrPeerDead
			}
		}
		timer.Reset(d.next() - s.transport.now())
	}
}

// install replaces path and keys of an earlier handshake by those of a newer one. It does
// nothing if a record under the earlier keys has come, which shows that the peer has chosen
// those.
func (s *Session) install(p *boundPath, keys *record.Keys, secrets record.Secrets, proved *secretProof) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == Connecting {
		s.path.Store(p)
		s.keys.Begin(keys, secrets)
		proved.keep()
	}
}

// finish says goodbye to the peer and makes the last call of the handler.
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

// unproved adds to the reason for a session's end that the peer may have tested a guess: it
// has got what it needs for that, and has proved nothing. It does not matter which end has
// ended the session, or how.
func (s *Session) unproved(reason error) error {
	if s.shown.Load() == 0 || errors.Is(reason, ErrSecret) || errors.Is(reason, ErrUnproved) {
		return reason
	}
	return fmt.Errorf("%w: %w", errUnproved, reason)
}

// doubt reports that the peer has proved a secret, and may have tested a guess of another.
func (s *Session) doubt() {
	if s.options.Doubt != nil {
		s.options.Doubt()
	}
}

// candidates returns the own candidates as the peer gets them.
func (s *Session) candidates() []path.Candidate {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.own.Candidates
}

func (s *Session) setCandidates(candidates []path.Candidate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.own.Candidates = candidates
}

// setPeer keeps the candidates of the peer, for Info.
func (s *Session) setPeer(candidates []path.Candidate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peer = candidates
}

// usable returns the candidates of the peer that may be tried.
func (s *Session) usable(candidates []path.Candidate) []path.Candidate {
	kept, removed := path.LimitPrivate(s.transport.usable(candidates), s.hosts)
	s.drops.AddN(drops.PathLimit, removed)
	return kept
}
