package ovs

import (
	"context"
	"fmt"
)

// take waits for the turn on a bridge.
func (s *Switch) take(ctx context.Context, name string) (*bridgeState, error) {
	s.mu.Lock()
	st := s.bridges[name]
	if st == nil {
		st = &bridgeState{turn: make(chan struct{}, 1)}
		st.turn <- struct{}{}
		s.bridges[name] = st
	}
	st.users++
	s.mu.Unlock()
	select {
	case <-st.turn:
		return st, nil
	case <-ctx.Done():
		s.leave(name, st, false)
		return nil, fmt.Errorf("wait for bridge %s: %w", name, context.Cause(ctx))
	}
}

// look takes the turn on a bridge if nobody works on it; nil if somebody does or nothing
// is known of it.
func (s *Switch) look(name string) *bridgeState {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.bridges[name]
	if st == nil {
		return nil
	}
	select {
	case <-st.turn:
		st.users++
		return st
	default:
		return nil
	}
}

// release gives the turn back and forgets a bridge about which nothing is known.
func (s *Switch) release(name string, st *bridgeState) {
	forget := st.applied == nil && st.bridge.Name == ""
	st.turn <- struct{}{}
	s.leave(name, st, forget)
}

func (s *Switch) leave(name string, st *bridgeState, forget bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st.users--; st.users == 0 && forget {
		delete(s.bridges, name)
	}
}
