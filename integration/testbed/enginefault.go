package testbed

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// KillEngine kills dockerd with SIGKILL, and other processes of the site in the same instant. It
// waits until containerd, which follows, has ended too: an engine started earlier would find it and
// give up.
func (s *Site) KillEngine(ctx context.Context, others ...int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.engine == nil {
		return fmt.Errorf("site %s: the engine was never started", s.name)
	}
	if err := s.KillProcesses(ctx, append([]int{s.engine.PID()}, others...)...); err != nil {
		return err
	}
	return s.stopEngine(ctx, "KILL")
}

// SetLiveRestore has the running engine leave containers alone when it ends, or not. It returns when
// the engine says so itself.
func (s *Site) SetLiveRestore(ctx context.Context, on bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.opts
	o.LiveRestore = on
	if err := s.writeEngineConfig(ctx, o); err != nil {
		return err
	}
	if s.engine == nil {
		return fmt.Errorf("site %s: the engine was never started", s.name)
	}
	if err := s.engine.Signal(ctx, "HUP"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	s.opts = o
	return s.engine.await(ctx, func() error {
		said, err := s.Docker(ctx, "info", "--format", "{{.LiveRestoreEnabled}}")
		if err == nil && said != fmt.Sprint(on) {
			err = errors.New("the engine has not read its configuration yet")
		}
		return err
	})
}

// EngineAnswered is when the engine that runs answered for the first time.
func (s *Site) EngineAnswered() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answered
}
