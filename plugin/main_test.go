package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestBounded(t *testing.T) {
	want := errors.New("ended")
	t.Run("by itself", func(t *testing.T) {
		got := bounded(t.Context(), time.Second, func(context.Context) error { return want })
		if !errors.Is(got, want) {
			t.Errorf("got %v", got)
		}
	})
	t.Run("in time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			start := time.Now()
			got := bounded(ctx, 9*time.Second, func(ctx context.Context) error {
				<-ctx.Done()
				<-time.After(8 * time.Second)
				return want
			})
			if took := time.Since(start); !errors.Is(got, want) || took != time.Hour+8*time.Second {
				t.Errorf("got %v after %v", got, took)
			}
		})
	})
	t.Run("too late", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			release := make(chan struct{})
			start := time.Now()
			got := bounded(ctx, 9*time.Second, func(context.Context) error {
				<-release
				return nil
			})
			if took := time.Since(start); got == nil || took != 9*time.Second {
				t.Errorf("got %v after %v", got, took)
			}
			close(release)
		})
	})
}
