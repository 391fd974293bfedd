//go:build e2e

package churn

import (
	"context"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"evio/integration/scenario"
)

// each does f for all at once and waits.
func each[T any](t *testing.T, all []T, f func(ctx context.Context, i int, one T) error) {
	t.Helper()
	group, ctx := errgroup.WithContext(scenario.Within(t, 2*time.Minute))
	for i, one := range all {
		group.Go(func() error { return f(ctx, i, one) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}
