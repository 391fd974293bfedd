package driver

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// The end of a task is waited for as long as the context lets it, and one that has not
// begun has nothing to end.
func TestTaskEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var never, slow task
		if err := never.end(t.Context()); err != nil {
			t.Errorf("a task that has not begun: %v", err)
		}
		release := make(chan struct{})
		slow.begin(t.Context(), func(ctx context.Context) {
			<-ctx.Done()
			<-release
		})
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if err := slow.end(over); !errors.Is(err, context.Canceled) {
			t.Errorf("while it runs: %v", err)
		}
		close(release)
		if err := slow.end(t.Context()); err != nil {
			t.Errorf("when it has ended: %v", err)
		}
	})
}
