package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"evio/integration/testbed"
)

// Job is a probe that runs in a namespace of a site.
type Job struct {
	*testbed.Process
	Name string
}

// Background starts a probe; it is ended with the test.
func Background(t *testing.T, s *Site, o Overlay, args ...string) Job {
	t.Helper()
	command := append([]string{"nsenter", "--net=/run/netns/" + o.Name, "probe"}, args...)
	p, err := s.Start(Within(t, 10*time.Second), o.Name+"-"+args[0], command...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		select {
		case <-p.Done():
			return
		default:
		}
		if err := p.Stop(context.WithoutCancel(t.Context()), "TERM"); err != nil {
			t.Error(err)
		}
	})
	return Job{p, args[0]}
}

// Serve starts a probe that serves until the test ends, and waits until it does.
func Serve(t *testing.T, s *Site, o Overlay, args ...string) {
	t.Helper()
	Background(t, s, o, args...)
	port := args[len(args)-1]
	err := Await(Within(t, 10*time.Second), func() error {
		_, err := s.InNamespace(Within(t, 5*time.Second), o.Name, "probe", "tcp-check", "127.0.0.1"+port)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Last decodes the last line that the probe has printed.
func (j Job) Last(event any) error {
	out, err := os.ReadFile(j.Log())
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), event); err != nil {
		return fmt.Errorf("%s printed %q: %w", j.Name, out, err)
	}
	return nil
}

// Wait returns when the probe has ended by itself, and decodes its last event.
func (j Job) Wait(t *testing.T, event any) {
	t.Helper()
	var err error
	select {
	case <-j.Done():
		err = j.Err()
	case <-time.After(2 * time.Minute):
		err = errors.New("it has not ended")
	}
	if err = errors.Join(err, j.Last(event)); err != nil {
		t.Fatalf("%s: %v", j.Name, err)
	}
}

// entered counts programs in containers. Each has a log of its own, so that the output of one is
// not taken for that of another.
var entered atomic.Int64

// Enter starts a program of the site's host in a container's namespaces; it is ended
// with the test, or with the container.
func Enter(t *testing.T, s Spot, args ...string) Job {
	t.Helper()
	p, err := s.Site.Start(Within(t, 10*time.Second), fmt.Sprintf("%s-%s-%d-%d", s.Container, args[0], s.PID, entered.Add(1)), s.Inside(args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return Job{p, args[0]}
}

// runs reports whether the program still runs.
func (j Job) runs() bool {
	select {
	case <-j.Done():
		return false
	default:
		return true
	}
}
