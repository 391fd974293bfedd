package testbed

import (
	"context"
	_ "embed"
	"fmt"
)

//go:embed powerloss.sh
var powerLossScript string

// LosePower leaves of the site's host what a loss of power leaves: the disk. Every process is
// killed at once, and namespaces, mounts, /run and devices are gone with them. The engine is started
// again with ResumeEngine.
func (s *Site) LosePower(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	// From a file, so that the shell has no child while it looks for others.
	if err := s.WriteFile(ctx, "/root/powerloss.sh", []byte(powerLossScript), 0o600); err != nil {
		return err
	}
	if _, err := s.Run(ctx, "sh", "/root/powerloss.sh"); err != nil {
		return fmt.Errorf("site %s: lose power: %w", s.name, err)
	}
	if s.engine == nil {
		return nil
	}
	select {
	case <-s.engine.Done():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("site %s: the engine has not ended: %w", s.name, ctx.Err())
	}
}
