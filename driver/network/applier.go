package network

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
)

// retryAfter is how long a failed application of a bridge's state is left alone
// when nobody asks for another.
const retryAfter = 2 * time.Second

var errClosed = errors.New("the network, or the plugin, ended meanwhile")

// applier runs one function at a time to bring a bridge to its desired state.
// Requests that come while it runs are served together by one further run.
type applier struct {
	do     func(context.Context) error
	partly func(context.Context) error // what serves change; nil: do
	log    *logrus.Entry
	wake   chan struct{}

	mu      sync.Mutex
	whole   bool // what change does is not enough
	waiters []chan error
	done    bool
	reason  string // why the last run failed, "" if it did not
}

func newApplier(log *logrus.Entry, do func(context.Context) error) *applier {
	return &applier{do: do, log: log, wake: make(chan struct{}, 1)}
}

// request asks for a run and does not wait for it.
func (a *applier) request() {
	a.mu.Lock()
	a.whole = true
	a.mu.Unlock()
	a.change()
}

// change asks for a run of partly, which is enough unless somebody asks for more.
func (a *applier) change() {
	select {
	case a.wake <- struct{}{}:
	default: // one is due already and will see the newest state
	}
}

// wait asks for a run and returns the result of one that began after the call.
func (a *applier) wait(ctx context.Context) error {
	result := make(chan error, 1)
	a.mu.Lock()
	if a.done {
		a.mu.Unlock()
		return errClosed
	}
	a.waiters, a.whole = append(a.waiters, result), true
	a.mu.Unlock()
	a.change()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run serves requests until the context ends. A run that failed is repeated; the log
// has each reason once.
func (a *applier) run(ctx context.Context) {
	retry := time.NewTimer(0)
	if !retry.Stop() {
		<-retry.C
	}
	defer a.finish()
	for {
		again := false
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
		case <-retry.C:
			again = true
		}
		if ctx.Err() != nil {
			return
		}
		a.mu.Lock()
		waiters, whole := a.waiters, a.whole || again || a.partly == nil
		a.waiters, a.whole = nil, false
		a.mu.Unlock()
		if !whole {
			if err := a.partly(ctx); err != nil {
				a.request()
			}
			continue // what else is wrong is still so
		}
		retry.Stop()
		err := a.do(ctx)
		for _, w := range waiters {
			w <- err
		}
		if ctx.Err() != nil {
			return
		}
		reason := ""
		if err != nil {
			reason = err.Error()
			retry.Reset(retryAfter)
		}
		a.mu.Lock()
		before := a.reason
		a.reason = reason
		a.mu.Unlock()
		switch {
		case reason == before:
		case err != nil:
			a.log.WithError(err).Warn("bridge is not as it should be, trying again")
		default:
			a.log.Info("bridge is as it should be again")
		}
	}
}

// fault says why the bridge is not as it should be, "" if it is.
func (a *applier) fault() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.reason
}

func (a *applier) finish() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.done = true
	for _, w := range a.waiters {
		w <- errClosed
	}
	a.waiters = nil
}
