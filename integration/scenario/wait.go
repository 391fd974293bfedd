package scenario

import (
	"context"
	"testing"
	"time"
)

// Within returns a context that ends with the test or after the time given.
func Within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// UntilContext is Until for a function that takes the context, which ends when the time is over.
func UntilContext(t *testing.T, d time.Duration, f func(context.Context) error) {
	t.Helper()
	ctx := Within(t, d)
	if err := Await(ctx, func() error { return f(ctx) }); err != nil {
		t.Fatal(err)
	}
}

// Until repeats f until it succeeds and fails the test when the time is over.
func Until(t *testing.T, d time.Duration, f func() error) {
	t.Helper()
	if err := Await(Within(t, d), f); err != nil {
		t.Fatal(err)
	}
}

// Pause lets time pass that the case needs, such as that of a cut.
func Pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}
