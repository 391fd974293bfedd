package driver

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"evio/driver/collector"
	"evio/driver/status"
)

const (
	lookApart   = 20 * time.Second
	lookEvery   = time.Minute
	lookTimeout = 10 * time.Second
	// lookFirst and lookLimit pace the tries while the engine does not answer: it
	// opens its API only when its containers run again.
	lookFirst = time.Second
	lookLimit = 30 * time.Second
)

// engineWatch compares the store with the lists of the engine, removes what the engine
// has forgotten, and knows what calls of Docker may not ask for. Nothing of it waits for
// the engine but run.
type engineWatch struct {
	engine   Engine // nil: run is never called
	names    []string
	apart    time.Duration
	table    *table
	remove   func(context.Context, *dockerNetwork) error
	erase    func(context.Context, *dockerNetwork, *dockerEndpoint) error
	log      *logrus.Entry
	activity chan struct{} // the engine has started, so its lists are worth a look; holds one

	mu        sync.Mutex
	version   engineVersion // of the engine, once known
	missing   []string      // a sentence for each network that the engine has and the store lacks
	shadowed  []string      // a sentence for each name that a plugin of the engine has
	collected status.Collected
}

// run compares until the context ends: from when the engine answers, then each
// minute, sooner when something is missing or the engine has restarted.
func (w *engineWatch) run(ctx context.Context) {
	core := collector.New(w.apart, w.names...)
	pace := pausesFrom(lookFirst, lookLimit)
	for tries := 1; ; tries++ {
		w.learnVersion(ctx)
		verdict, err := w.compare(ctx, core)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			core.Forget()
			log := w.log.WithError(err)
			if tries == quietTries {
				log.Warn("what Docker has removed meanwhile is not known, so it is kept; asking on")
			} else {
				log.Debug("Docker's networks are not known yet")
			}
			if !pace.wait(ctx) {
				return
			}
			continue
		}
		tries, pace.last = 0, 0
		w.follow(ctx, verdict)
		w.learnShadowed(ctx)
		pause := lookEvery
		if verdict.Pending {
			pause = w.apart
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-w.activity:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// compare takes one look.
func (w *engineWatch) compare(ctx context.Context, core *collector.Collector) (collector.Verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	l := collector.Look{Began: time.Now(), Before: w.table.holdings()}
	var ids []string
	for key := range l.Before {
		if key.Endpoint == "" {
			ids = append(ids, key.Network)
		}
	}
	var err error
	if l.List, err = w.engine.List(ctx, ids); err != nil {
		return collector.Verdict{}, err
	}
	l.Ended, l.After = time.Now(), w.table.holdings()
	return core.Look(l)
}

// follow does what a verdict says.
func (w *engineWatch) follow(ctx context.Context, v collector.Verdict) {
	var missing []string
	for _, n := range v.Missing {
		missing = append(missing, fmt.Sprintf(
			"network %s (%s) is Docker's and not in the store of this plugin, whose file may have been damaged: remove it with docker network rm and create it again",
			clip(n.Name), short(n.ID)))
	}
	w.mu.Lock()
	before := w.missing
	w.missing = missing
	w.mu.Unlock()
	for _, sentence := range missing {
		if !slices.Contains(before, sentence) {
			w.log.Error(sentence)
		}
	}
	for _, o := range v.Collect {
		if ctx.Err() != nil {
			return
		}
		if o.Endpoint == "" {
			w.collectNetwork(ctx, o)
		} else {
			w.collectEndpoint(ctx, o)
		}
	}
}

// collectNetwork removes a network as if Docker had asked for it, unless a call has
// come meanwhile.
func (w *engineWatch) collectNetwork(ctx context.Context, o collector.Collected) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	n := w.table.network(o.Network)
	if n == nil || !n.gate.TryAcquire(whole) {
		return
	}
	defer n.gate.Release(whole)
	if !w.table.unchanged(n, o.Version) {
		return
	}
	w.mu.Lock()
	w.collected.Networks++
	w.mu.Unlock()
	log := w.log.WithField("network", w.table.label(n))
	log.Warnf("network is removed: Docker did not list it in looks %s apart, and no call has come about it", o.Absent.Round(time.Second))
	if err := w.remove(ctx, n); err != nil {
		log.WithError(err).Warn("network is not removed yet")
	}
}

// collectEndpoint removes an endpoint as if Docker had asked for it, unless a call
// has come meanwhile.
func (w *engineWatch) collectEndpoint(ctx context.Context, o collector.Collected) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	n := w.table.network(o.Network)
	if n == nil || !n.gate.TryAcquire(share) {
		return
	}
	defer n.gate.Release(share)
	e := w.table.endpoint(n, o.Endpoint)
	if e == nil || !e.lock.TryAcquire(1) {
		return
	}
	defer e.lock.Release(1)
	if !w.table.endpointUnchanged(n, e, o.Version) {
		return
	}
	w.mu.Lock()
	w.collected.Endpoints++
	w.mu.Unlock()
	log := w.log.WithField("network", w.table.label(n)).WithField("endpoint", short(o.Endpoint))
	log.Warnf("endpoint is removed: Docker did not list it in looks %s apart, and no call has come about it", o.Absent.Round(time.Second))
	if err := w.erase(ctx, n, e); err != nil {
		log.WithError(err).Warn("endpoint is not removed completely")
	}
}

// faults returns one sentence for each thing of the engine that is not as it should be.
func (w *engineWatch) faults() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Concat(w.missing, w.shadowed)
}

// counts returns what was removed because the engine had forgotten it.
func (w *engineWatch) counts() status.Collected {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.collected
}
