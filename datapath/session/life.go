package session

import (
	"context"
	"errors"
	"time"

	"evio/datapath/record"
)

const (
	gatherTimeout   = 1800 * time.Millisecond // so that own parameters are ready within two seconds
	connectTimeout  = 15 * time.Second
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
	var (
		paths     *finder  // at work since Connect, nil once established
		trial     *attempt // likewise
		keyed     <-chan error
		deadline  <-chan time.Time
		confirmed = s.confirmed
		alive     liveness
		pulse     = time.NewTimer(0) // repeats the first probe, then serves liveness
	)
	<-pulse.C
	defer pulse.Stop()
	defer func() {
		trial.stop()
		paths.stop()
	}()

	for {
		select {
		case <-s.ending:
			return s.endReason

		case <-s.wake:
			wanted := s.takeWanted()
			if wanted == nil {
				continue
			}
			trial.stop()
			if !paths.serves(wanted.peer) {
				paths.stop()
				paths = s.find(ctx, wanted.peer)
			}
			trial = s.begin(ctx, paths, *wanted)
			keyed, deadline = trial.keyed, time.After(connectTimeout)

		case err := <-keyed:
			if err != nil {
				return err
			}
			keyed = nil
			s.sendProbe()
			pulse.Reset(confirmInterval)

		case <-deadline:
			return ErrTimeout

		case <-confirmed:
			trial.stop()
			paths.stop()
			trial, paths, keyed, deadline, confirmed = nil, nil, nil, nil, nil
			alive = liveness{next: s.transport.now()}
			pulse.Reset(0)

		case <-pulse.C:
			if confirmed != nil {
				s.sendProbe()
				pulse.Reset(confirmInterval)
				continue
			}
			verdict := alive.tick(s.transport.now(), time.Duration(s.lastReceived.Load()), s.pinger.roundTrip())
			switch verdict {
			case dead:
				return ErrPeerDead
			case probe:
				s.sendProbe()
			case rest:
			}
			pulse.Reset(alive.next - s.transport.now())
		}
	}
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
func (s *Session) install(p *path, keys *record.Keys) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == Connecting {
		s.path.Store(p)
		s.keys.Store(keys)
	}
}

// confirm is called by the reader with a record that is valid under keys: the
// peer has them too. The first one establishes the session. It returns false if
// the keys are out of use.
func (s *Session) confirm(keys *record.Keys) bool {
	s.calls.Lock()
	defer s.calls.Unlock()
	s.mu.Lock()
	current := !s.ended && s.state == Connecting && s.keys.Load() == keys
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
	if s.State() == Established && !errors.Is(reason, ErrPeerClosed) {
		s.sendGoodbye()
	}
	s.transport.remove(s)
	s.mu.Lock()
	s.state = Closed
	s.mu.Unlock()
	s.keys.Store(nil)

	s.calls.Lock()
	defer s.calls.Unlock()
	s.ended = true
	s.options.Handler.Closed(s, reason)
}
