package driver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

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

// beginLooksLocked starts the one goroutine that compares the store with the
// engine's lists. Close ends it.
func (d *Driver) beginLooksLocked(ctx context.Context) {
	if d.engine == nil || d.table.isClosed() {
		return
	}
	ctx, d.looks = context.WithCancel(ctx)
	looked := make(chan struct{})
	d.looked = looked
	go func() {
		defer close(looked)
		d.look(ctx)
	}()
}

func (d *Driver) endLooks(ctx context.Context) error {
	d.mu.Lock()
	stop, looked := d.looks, d.looked
	d.mu.Unlock()
	stop()
	select {
	case <-looked:
		return nil
	case <-ctx.Done():
		return errors.New("stop: the comparison with Docker's networks is still running")
	}
}

// look compares until the context ends: from when the engine answers, then each
// minute, sooner when something is missing or the engine has started anew.
func (d *Driver) look(ctx context.Context) {
	core := collector.New(d.apart, d.names...)
	pace := backoff{first: lookFirst, limit: lookLimit}
	for tries := 1; ; tries++ {
		d.learnVersion(ctx)
		verdict, err := d.compare(ctx, core)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			core.Forget()
			log := d.log.WithError(err)
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
		tries, pace.next = 0, 0
		d.follow(ctx, verdict)
		d.learnShadowed(ctx)
		pause := lookEvery
		if verdict.Pending {
			pause = d.apart
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-d.activity:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// compare takes one look.
func (d *Driver) compare(ctx context.Context, core *collector.Collector) (collector.Verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	l := collector.Look{Began: time.Now(), Before: d.table.holdings()}
	var ids []string
	for key := range l.Before {
		if key.Endpoint == "" {
			ids = append(ids, key.Network)
		}
	}
	var err error
	if l.List, err = d.engine.List(ctx, ids); err != nil {
		return collector.Verdict{}, err
	}
	l.Ended, l.After = time.Now(), d.table.holdings()
	return core.Look(l)
}

// follow does what a verdict says.
func (d *Driver) follow(ctx context.Context, v collector.Verdict) {
	var missing []string
	for _, n := range v.Missing {
		missing = append(missing, fmt.Sprintf(
			"network %s (%s) is Docker's and not in the store of this plugin, whose file may have been damaged: remove it with docker network rm and create it again",
			clip(n.Name), short(n.ID)))
	}
	d.mu.Lock()
	before := d.missing
	d.missing = missing
	d.mu.Unlock()
	for _, sentence := range missing {
		if !slices.Contains(before, sentence) {
			d.log.Error(sentence)
		}
	}
	for _, o := range v.Collect {
		if ctx.Err() != nil {
			return
		}
		if o.Endpoint == "" {
			d.collectNetwork(ctx, o)
		} else {
			d.collectEndpoint(ctx, o)
		}
	}
}

// collectNetwork removes a network as if Docker had asked for it, unless a call has
// come meanwhile.
func (d *Driver) collectNetwork(ctx context.Context, o collector.Collected) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	n := d.table.network(o.Network)
	if n == nil || !n.gate.TryAcquire(whole) {
		return
	}
	defer n.gate.Release(whole)
	if !d.table.unchanged(n, o.Version) {
		return
	}
	d.mu.Lock()
	d.collected.Networks++
	d.mu.Unlock()
	log := d.log.WithField("network", d.table.label(n))
	log.Warnf("network is removed: Docker did not list it in looks %s apart, and no call has come about it", o.Absent.Round(time.Second))
	if err := d.remove(ctx, n); err != nil {
		log.WithError(err).Warn("network is not removed yet")
	}
}

// collectEndpoint removes an endpoint as if Docker had asked for it, unless a call
// has come meanwhile.
func (d *Driver) collectEndpoint(ctx context.Context, o collector.Collected) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	n := d.table.network(o.Network)
	if n == nil || !n.gate.TryAcquire(share) {
		return
	}
	defer n.gate.Release(share)
	e := d.table.endpoint(n, o.Endpoint)
	if e == nil || !e.lock.TryAcquire(1) {
		return
	}
	defer e.lock.Release(1)
	if !d.table.endpointUnchanged(n, e, o.Version) {
		return
	}
	d.mu.Lock()
	d.collected.Endpoints++
	d.mu.Unlock()
	log := d.log.WithField("network", d.table.label(n)).WithField("endpoint", short(o.Endpoint))
	log.Warnf("endpoint is removed: Docker did not list it in looks %s apart, and no call has come about it", o.Absent.Round(time.Second))
	if err := d.eraseEndpoint(ctx, n, e); err != nil {
		log.WithError(err).Warn("endpoint is not removed completely")
	}
}

// Collected counts what was removed because Docker had forgotten it.
func (d *Driver) Collected() status.Collected {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.collected
}
