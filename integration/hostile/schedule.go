//go:build e2e

package hostile

import (
	"errors"
	"testing"
	"time"
)

// together runs all at once.
func together(t *testing.T, all ...func() error) {
	t.Helper()
	done := make(chan error, len(all))
	for _, f := range all {
		go func() { done <- f() }()
	}
	var errs []error
	for range all {
		errs = append(errs, <-done)
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// sleepUntil waits, and reports whether the test goes on.
func sleepUntil(t *testing.T, at time.Time) bool {
	t.Helper()
	select {
	case <-t.Context().Done():
		return false
	case <-time.After(time.Until(at)):
		return !t.Failed()
	}
}
