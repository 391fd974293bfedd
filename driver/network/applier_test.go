package network

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"
	"github.com/sirupsen/logrus/hooks/test"
)

// script is what an applier runs in a test: each run says that it began and ends
// with what the test tells it.
type script struct {
	*applier
	began chan int
	end   chan error
	stop  context.CancelFunc
	done  chan struct{}
}

func newScript(t *testing.T) *script {
	t.Helper()
	return newScriptWith(t, quiet())
}

func newScriptWith(t *testing.T, log *logrus.Entry) *script {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s := &script{began: make(chan int, 100), end: make(chan error), stop: cancel, done: make(chan struct{})}
	runs := 0
	s.applier = newApplier(log, func(ctx context.Context) error {
		runs++
		s.began <- runs
		select {
		case err := <-s.end:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	go func() {
		defer close(s.done)
		s.run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-s.done
	})
	return s
}

// waits asks for a run and returns where its result comes.
func (s *script) waits(ctx context.Context) <-chan error {
	got := make(chan error, 1)
	go func() { got <- s.wait(ctx) }()
	synctest.Wait()
	return got
}

func (s *script) runs() int {
	synctest.Wait()
	return len(s.began)
}

func TestApplierServesRequestsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t)
		s.request()
		<-s.began
		for range 10 {
			s.request()
		}
		a, b := s.waits(t.Context()), s.waits(t.Context())
		s.end <- nil // of a run that began before they asked
		<-s.began
		select {
		case err := <-a:
			t.Fatal("served by a run that had begun before: ", err)
		default:
		}
		broken := errors.New("broken")
		s.end <- broken
		if err := <-a; !errors.Is(err, broken) {
			t.Errorf("first waiter: %v", err)
		}
		if err := <-b; !errors.Is(err, broken) {
			t.Errorf("second waiter: %v", err)
		}
		if n := s.runs(); n != 0 {
			t.Errorf("%d more runs at once", n)
		}
	})
}

func TestApplierTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t)
		s.request()
		<-s.began
		s.end <- errors.New("broken")
		began := time.Now()
		<-s.began
		if after := time.Since(began); after != retryAfter {
			t.Errorf("again after %v", after)
		}
		if got := s.fault(); got != "broken" {
			t.Errorf("fault %q", got)
		}
		s.end <- errors.New("still broken")
		s.request() // asked before the pause is over
		<-s.began
		s.end <- nil
		<-time.After(10 * retryAfter)
		if n := s.runs(); n != 0 {
			t.Errorf("%d runs after one that succeeded", n)
		}
		if got := s.fault(); got != "" {
			t.Errorf("fault %q after one that succeeded", got)
		}
	})
}

// What stays wrong is logged once; what changes is logged again.
func TestApplierLogsEachReasonOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger, hook := test.NewNullLogger()
		s := newScriptWith(t, logrus.NewEntry(logger))
		s.request()
		for _, reason := range []string{"broken", "broken", "broken", "worse", "", "broken"} {
			<-s.began
			if reason == "" {
				s.end <- nil
				s.request()
				continue
			}
			s.end <- errors.New(reason)
		}
		synctest.Wait()
		var told []string
		for _, e := range hook.AllEntries() {
			told = append(told, fmt.Sprint(e.Level, " ", e.Data["error"]))
		}
		if diff := cmp.Diff([]string{"warning broken", "warning worse", "info <nil>", "warning broken"}, told); diff != "" {
			t.Error(diff)
		}
	})
}

func TestApplierWaiterGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t)
		ctx, cancel := context.WithCancel(t.Context())
		got := s.waits(ctx)
		cancel()
		if err := <-got; !errors.Is(err, context.Canceled) {
			t.Errorf("wait: %v", err)
		}
		<-s.began
		s.end <- nil // nobody waits, nothing blocks
	})
}

func TestApplierEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t)
		running := s.waits(t.Context())
		<-s.began
		waiting := s.waits(t.Context())
		s.stop()
		<-s.done
		if err := <-running; !errors.Is(err, context.Canceled) {
			t.Errorf("of the run that was ended: %v", err)
		}
		if err := <-waiting; !errors.Is(err, errClosed) {
			t.Errorf("of a run that never was: %v", err)
		}
		if err := s.wait(t.Context()); !errors.Is(err, errClosed) {
			t.Errorf("after the end: %v", err)
		}
		s.request()
	})
}

// What has changed is enough unless somebody asks for all, and where it does not do all is
// done.
func TestPartOfARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t)
		parts, fails := 0, false
		s.partly = func(context.Context) error {
			if parts++; fails {
				return errors.New("it does not do")
			}
			return nil
		}
		s.change()
		synctest.Wait()
		if parts != 1 || len(s.began) != 0 {
			t.Errorf("%d parts and %d runs for a change", parts, len(s.began))
		}
		fails = true
		s.change()
		<-s.began
		s.end <- errors.New("broken")
		synctest.Wait()
		fails = false
		s.change()
		synctest.Wait()
		if parts != 3 || s.fault() != "broken" {
			t.Errorf("%d parts, fault %q", parts, s.fault())
		}
		<-time.After(retryAfter) // all is tried again
		<-s.began
		s.end <- nil
		got := s.waits(t.Context())
		<-s.began
		s.end <- nil
		if err := <-got; err != nil || parts != 3 || s.fault() != "" {
			t.Errorf("%v, %d parts, fault %q", err, parts, s.fault())
		}
	})
}
