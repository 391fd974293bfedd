//go:build e2e

package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"evio/integration/scenario"
	"evio/integration/testbed"
)

// job is a probe that runs in a namespace of a site.
type job struct {
	*testbed.Process
	name string
}

// conversation is what tcp-dialogue prints each second and when it ends.
type conversation struct {
	Answers      uint64 `json:"answers"`
	LongestStall int64  `json:"longest_stall_ms"`
}

// background starts a probe; it is ended with the test.
func background(t *testing.T, s *scenario.Site, o scenario.Overlay, args ...string) job {
	t.Helper()
	command := append([]string{"nsenter", "--net=/run/netns/" + o.Name, "probe"}, args...)
	p, err := s.Start(within(t, 10*time.Second), o.Name+"-"+args[0], command...)
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
	return job{p, args[0]}
}

// serve starts a probe that serves until the test ends, and waits until it does.
func serve(t *testing.T, s *scenario.Site, o scenario.Overlay, args ...string) {
	t.Helper()
	background(t, s, o, args...)
	port := args[len(args)-1]
	err := scenario.Await(within(t, 10*time.Second), func() error {
		_, err := s.InNamespace(within(t, 5*time.Second), o.Name, "probe", "tcp-check", "127.0.0.1"+port)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// last decodes the last line that the probe has printed.
func (j job) last(event any) error {
	out, err := os.ReadFile(j.Log())
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), event); err != nil {
		return fmt.Errorf("%s printed %q: %w", j.name, out, err)
	}
	return nil
}

// wait returns when the probe has ended by itself, and decodes its last event.
func (j job) wait(t *testing.T, event any) {
	t.Helper()
	var err error
	select {
	case <-j.Done():
		err = j.Err()
	case <-time.After(2 * time.Minute):
		err = errors.New("it has not ended")
	}
	if err = errors.Join(err, j.last(event)); err != nil {
		t.Fatalf("%s: %v", j.name, err)
	}
}

// goesOn waits until a dialogue has more answers than now.
func goesOn(t *testing.T, j job) {
	t.Helper()
	var before conversation
	_ = j.last(&before) // nothing is printed yet: no answers
	began := time.Now()
	err := scenario.Await(within(t, 70*time.Second), func() error {
		var now conversation
		if err := j.last(&now); err != nil {
			return err
		}
		if now.Answers <= before.Answers {
			return fmt.Errorf("%d answers, no more than before", now.Answers)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%s does not go on: %v", j.name, err)
	}
	t.Logf("the TCP connection goes on after %v", time.Since(began).Round(time.Millisecond))
}
