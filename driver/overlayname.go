package driver

import (
	"context"
	"fmt"
	"time"
)

const (
	askFirst   = 100 * time.Millisecond // the reply to CreateNetwork goes out meanwhile
	askLimit   = 30 * time.Second
	askTimeout = 5 * time.Second
)

// wantsEngineLocked reports whether the engine is still to be asked about a network:
// what it calls it, which is its default overlay and stands in the status document, and
// from which ranges it hands out addresses.
func (d *Driver) wantsEngineLocked(rec *networkRecord) bool {
	return d.engine != nil && (rec.Name == "" || !rec.Named && rec.Overlay == "" || !rec.Ranged)
}

// askEngine asks the engine what it did not tell in CreateNetwork.
func (d *Driver) askEngine(ctx context.Context, n *dockerNetwork) {
	d.nameOverlay(ctx, n)
	d.learnRanges(ctx, n)
	for pace := (backoff{first: freeEvery, limit: freeEvery}); d.isApart(n) && pace.wait(ctx); {
		d.nameOverlay(ctx, n)
	}
}

// freeEvery is how often a network looks whether the overlay of its name has become free.
const freeEvery = 5 * time.Second

func (d *Driver) isApart(n *dockerNetwork) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return n.apart != nil
}

// nameOverlay finds out what Docker calls the network and joins the overlay of that
// name. Until then, and while the name cannot be an overlay's or another network of this
// engine uses that overlay, the network is of this engine alone.
func (d *Driver) nameOverlay(ctx context.Context, n *dockerNetwork) {
	rec := d.record(n)
	log := d.log.WithField("network", rec.label())
	pace := backoff{first: askFirst, limit: askLimit}
	name := rec.Name
	for tries := 1; name == ""; tries++ {
		if !pace.wait(ctx) {
			return
		}
		var err error
		if name, err = d.askName(ctx, rec.ID); err != nil && ctx.Err() == nil {
			log = log.WithError(err)
			if tries == quietTries {
				log.Warn("the network's name is not known yet, so it stays local; asking on")
			} else {
				log.Debug("the network's name is not known yet")
			}
		}
	}
	pace = backoff{first: restoreFirst, limit: restoreLimit}
	for {
		err := d.adoptName(ctx, n, name)
		if err == nil || ctx.Err() != nil {
			return
		}
		d.log.WithField("network", name).WithError(err).Warn("overlay not joined yet, trying again")
		if !pace.wait(ctx) {
			return
		}
	}
}

// quietTries is how many questions the engine may leave open before the operator
// hears of it: while it starts, it answers none.
const quietTries = 8

func (d *Driver) askName(ctx context.Context, id string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return d.engine.NetworkName(ctx, id)
}

// adoptName takes the name for the overlay, stores that, and tells the plane. After
// an error it can be called again.
func (d *Driver) adoptName(ctx context.Context, n *dockerNetwork, name string) error {
	if err := n.gate.Acquire(ctx, whole); err != nil {
		return err
	}
	defer n.gate.Release(whole)
	d.mu.Lock()
	if n.gone || n.rec.Removed {
		d.mu.Unlock()
		return nil
	}
	before, apart := n.rec, n.apart
	n.rec.Name = name
	n.apart = d.claimLocked(n, name)
	obstacle, rec := n.apart, n.rec
	d.mu.Unlock()

	if rec.Name != before.Name || rec.Overlay != before.Overlay {
		if err := d.store.Put(kindNetwork, rec.ID, rec); err != nil {
			d.mu.Lock()
			n.rec = before
			d.mu.Unlock()
			return err
		}
	}
	if rec.Named {
		return nil // in the overlay that its option names
	}
	log := d.log.WithField("network", name)
	if obstacle != nil {
		if apart == nil || apart.Error() != obstacle.Error() {
			log.WithError(obstacle).Warn("network stays local")
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := d.plane.SetOverlay(ctx, rec.ID, rec.Overlay); err != nil {
		return err
	}
	log.WithField("overlay", rec.Overlay).Info("network joins the overlay of its name")
	return nil
}

// claimLocked makes the name the network's overlay, or says why it cannot be.
func (d *Driver) claimLocked(n *dockerNetwork, name string) error {
	if n.rec.Overlay != "" {
		return nil
	}
	if err := checkOverlayName(name); err != nil {
		return fmt.Errorf("it reaches this engine only, because its name cannot be an overlay's (%w): remove it and create it with -o %s=NAME", err, optionOverlay)
	}
	if other := d.overlayUserLocked(name); other != nil {
		return fmt.Errorf("it reaches this engine only, because overlay %s is used by network %s of this engine: remove one of the two and create it with another -o %s=NAME", name, other.rec.label(), optionOverlay)
	}
	n.rec.Overlay = name
	return nil
}
