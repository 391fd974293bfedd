package driver

import (
	"context"
	"time"
)

const (
	askFirst   = 100 * time.Millisecond // the reply to CreateNetwork goes out meanwhile
	askLimit   = 30 * time.Second
	askTimeout = 5 * time.Second
)

// wantsEngine reports whether the engine is still to be asked about a network:
// what it calls it, which is its default overlay and stands in the status document, and
// from which ranges it hands out addresses.
func (d *Driver) wantsEngine(rec networkRecord) bool {
	return d.engine != nil && (rec.Name == "" || !rec.Named && rec.Overlay == "" || !rec.Ranged)
}

// askEngine asks the engine what it did not tell in CreateNetwork.
func (d *Driver) askEngine(ctx context.Context, n *dockerNetwork) {
	d.nameOverlay(ctx, n)
	d.learnRanges(ctx, n)
	for pace := (backoff{first: freeEvery, limit: freeEvery}); d.table.networkState(n).apart != nil && pace.wait(ctx); {
		d.nameOverlay(ctx, n)
	}
}

// freeEvery is how often a network looks whether the overlay of its name has become free.
const freeEvery = 5 * time.Second

// nameOverlay finds out what Docker calls the network and joins the overlay of that
// name. Until then, and while the name cannot be an overlay's or another network of this
// engine uses that overlay, the network is of this engine alone.
func (d *Driver) nameOverlay(ctx context.Context, n *dockerNetwork) {
	rec := d.table.record(n)
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
	c, ok := d.table.setName(n, name)
	if !ok {
		return nil
	}
	rec := c.after
	if rec.Name != c.before.Name || rec.Overlay != c.before.Overlay {
		if err := d.store.Put(kindNetwork, rec.ID, rec); err != nil {
			d.table.setRecord(n, c.before)
			return err
		}
	}
	if rec.Named {
		return nil // in the overlay that its option names
	}
	log := d.log.WithField("network", name)
	if c.apart != nil {
		if c.wasApart == nil || c.wasApart.Error() != c.apart.Error() {
			log.WithError(c.apart).Warn("network stays local")
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
