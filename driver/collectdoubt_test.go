package driver_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	docker "github.com/docker/go-plugins-helpers/network"

	"evio/driver"
	"evio/driver/collector"
)

// TestDoubtfulEngine: an engine that does not answer, or not with all that it has,
// costs nothing. When it does, what it has removed goes.
func TestDoubtfulEngine(t *testing.T) {
	for name, change := range map[string]func(context.Context, *collector.List) error{
		"errors":  func(context.Context, *collector.List) error { return errors.New("the daemon is starting") },
		"silence": func(ctx context.Context, _ *collector.List) error { <-ctx.Done(); return nil },
		"nothing": func(_ context.Context, l *collector.List) error { *l = collector.List{}; return nil },
		"a part": func(_ context.Context, l *collector.List) error {
			l.Networks = l.Networks[:1]
			return nil
		},
		"every other look": everyOther(),
	} {
		t.Run(name, func(t *testing.T) {
			var well atomic.Bool
			forgotten(t, func(r *rig) {
				r.engine.Change = func(ctx context.Context, l *collector.List) error {
					if well.Load() {
						return nil
					}
					return change(ctx, l)
				}
			}, func(t *testing.T, r *rig, d *driver.Driver) {
				<-time.After(10 * time.Minute)
				wantCollected(t, d, 0, 0)
				r.wantSizes(2, 2, 4)
				if n := r.engine.Lists(); n > 60 {
					t.Errorf("Docker was asked %d times in 10 minutes", n)
				}
				well.Store(true)
				<-time.After(lookTimeout + lookLimit + 25*time.Second)
				wantCollected(t, d, 1, 1)
			})
		})
	}
}

const (
	lookTimeout = 10 * time.Second // for an answer of the engine
	lookLimit   = 30 * time.Second // at most, between an engine that is away and the next question
)

func everyOther() func(context.Context, *collector.List) error {
	n := 0
	return func(context.Context, *collector.List) error {
		if n++; n%2 == 0 {
			return errors.New("the daemon is restarting")
		}
		return nil
	}
}

// TestSlowEngine: slow answers are answers, and what happens meanwhile counts.
func TestSlowEngine(t *testing.T) {
	forgotten(t, func(r *rig) {
		r.engine.Change = func(ctx context.Context, _ *collector.List) error {
			select {
			case <-time.After(8 * time.Second):
			case <-ctx.Done():
			}
			return ctx.Err()
		}
	}, func(t *testing.T, _ *rig, d *driver.Driver) {
		<-time.After(30 * time.Second) // in the second look
		if _, err := d.Join(t.Context(), &docker.JoinRequest{NetworkID: net2, EndpointID: ep1}); err != nil {
			t.Error(err)
		}
		<-time.After(20 * time.Second)
		wantCollected(t, d, 1, 0)
		<-time.After(2 * time.Minute)
		wantCollected(t, d, 1, 1)
	})
}

// TestAnotherEngine: an engine that has never listed a network of this store is that
// of another plugin.
func TestAnotherEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		d := r.prepare()
		d.Start(t.Context())
		create(t, d, net1)
		create(t, d, net2)
		<-time.After(time.Hour)
		wantCollected(t, d, 0, 0)
		r.engine.Name(net2, "green") // it was this one after all
		<-time.After(2 * time.Minute)
		wantCollected(t, d, 1, 0)
		r.wantSizes(1, 0, 1)
		if err := d.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
