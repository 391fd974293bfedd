package netdev

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// machine is what follow looks at, with counters of what it does.
type machine struct {
	mu             sync.Mutex
	state          string
	fault          error
	looks, changes int
}

func (m *machine) look() (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.looks++
	return m.state, m.fault
}

func (m *machine) changed() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changes++
}

func (m *machine) set(state string, fault error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state, m.fault = state, fault
}

// TestFollow: what is looked at decides, not how many events there are.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		events := make(chan struct{}, 1)
		m := &machine{state: "a"}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			follow(ctx, events, m.look, m.changed)
		}()
		after := func(wait time.Duration, name string, looks, changes int) {
			t.Helper()
			<-time.After(wait)
			synctest.Wait()
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.looks != looks || m.changes != changes {
				t.Errorf("%s: %d looks, %d changes, want %d and %d", name, m.looks, m.changes, looks, changes)
			}
			m.looks, m.changes = 0, 0
		}
		after(time.Hour, "no event", 0, 0)
		signal(events)
		after(time.Second, "the first look", 1, 0)
		signal(events)
		after(time.Second, "an event of something else", 1, 0)
		for _, s := range []string{"b", "c", "d"} {
			m.set(s, nil)
			signal(events)
		}
		after(settle-1, "too early", 0, 0)
		after(time.Second, "three changes at once", 1, 1)
		m.set("e", errors.New("interrupted"))
		signal(events)
		after(3*settle, "nothing can be seen", 3, 0)
		m.set("e", nil)
		after(time.Second, "it can be seen again", 1, 1)
		m.set("f", nil)
		signal(events)
		cancel()
		<-ended
		after(time.Second, "after the end", 0, 0)
	})
}
