package driver

import (
	"context"
	"net/netip"
	"time"

	"github.com/sirupsen/logrus"

	"evio/driver/plane"
)

const (
	askFirst   = 100 * time.Millisecond // the reply to CreateNetwork goes out meanwhile
	askLimit   = 30 * time.Second
	askTimeout = 5 * time.Second
)

// asker asks the engine for what it did not say in CreateNetwork, and has the plane and
// the store follow that.
type asker struct {
	engine Engine // nil: nothing is asked
	table  *table
	plane  plane.Plane
	store  Store
	log    *logrus.Entry
}

// wants reports whether the engine is still to be asked about a network:
// what it calls it, which is its default overlay and stands in the status document, and
// from which ranges it hands out addresses.
func (a *asker) wants(rec networkRecord) bool {
	return a.engine != nil && (rec.Name == "" || !rec.Named && rec.Overlay == "" || !rec.Ranged)
}

// ask asks about a network until the context ends or all is known.
func (a *asker) ask(ctx context.Context, n *dockerNetwork) {
	a.nameOverlay(ctx, n)
	a.learnRanges(ctx, n)
	for pace := pausesFrom(freeEvery, freeEvery); a.table.networkState(n).nameErr != nil && pace.wait(ctx); {
		a.nameOverlay(ctx, n)
	}
}

// freeEvery is how often a network looks whether the overlay of its name has become free.
const freeEvery = 5 * time.Second

// nameOverlay finds out what Docker calls the network and joins the overlay of that
// name. Until then, and while the name cannot be an overlay's or another network of this
// engine uses that overlay, the network is of this engine alone.
func (a *asker) nameOverlay(ctx context.Context, n *dockerNetwork) {
	rec := a.table.record(n)
	log := a.log.WithField("network", rec.label())
	pace := pausesFrom(askFirst, askLimit)
	name := rec.Name
	for tries := 1; name == ""; tries++ {
		if !pace.wait(ctx) {
			return
		}
		var err error
		if name, err = a.askName(ctx, rec.ID); err != nil && ctx.Err() == nil {
			log = log.WithError(err)
			if tries == quietTries {
				log.Warn("the network's name is not known yet, so it stays local; asking on")
			} else {
				log.Debug("the network's name is not known yet")
			}
		}
	}
	pace = pausesFrom(restoreFirst, restoreLimit)
	for {
		err := a.adoptName(ctx, n, name)
		if err == nil || ctx.Err() != nil {
			return
		}
		a.log.WithField("network", name).WithError(err).Warn("overlay not joined yet, trying again")
		if !pace.wait(ctx) {
			return
		}
	}
}

// quietTries is how many questions the engine may leave open before the operator
// hears of it: while it starts, it answers none.
const quietTries = 8

func (a *asker) askName(ctx context.Context, id string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return a.engine.NetworkName(ctx, id)
}

// adoptName takes the name for the overlay, stores that, and has the plane join it. After
// an error it can be called again.
func (a *asker) adoptName(ctx context.Context, n *dockerNetwork, name string) error {
	if err := n.gate.Acquire(ctx, whole); err != nil {
		return err
	}
	defer n.gate.Release(whole)
	c, ok := a.table.setName(n, name)
	if !ok {
		return nil
	}
	rec := c.after
	if rec.Name != c.before.Name || rec.Overlay != c.before.Overlay {
		if err := a.store.Put(kindNetwork, rec.ID, rec); err != nil {
			a.table.setRecord(n, c.before)
			return err
		}
	}
	if rec.Named {
		return nil // in the overlay that its option names
	}
	log := a.log.WithField("network", name)
	if c.nameErr != nil {
		if c.nameErrBefore == nil || c.nameErrBefore.Error() != c.nameErr.Error() {
			log.WithError(c.nameErr).Warn("network stays local")
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := a.plane.SetOverlay(ctx, rec.ID, rec.Overlay); err != nil {
		return err
	}
	log.WithField("overlay", rec.Overlay).Info("network joins the overlay of its name")
	return nil
}

// learnRanges finds out from which ranges Docker hands out addresses on a network, and
// hands them to the plane, which compares them with those of other sites. It serves a warning
// only, so it goes on quietly.
func (a *asker) learnRanges(ctx context.Context, n *dockerNetwork) {
	pace := pausesFrom(askFirst, askLimit)
	for {
		s := a.table.networkState(n)
		if s.gone || s.rec.Removed || s.rec.Ranged {
			return
		}
		ranges, err := a.askRanges(ctx, s.rec.ID)
		if err == nil {
			err = a.adoptRanges(ctx, n, ranges)
		}
		if err != nil && ctx.Err() == nil {
			a.log.WithField("network", s.rec.label()).WithError(err).Debug("the network's ranges are not known yet")
		}
		if err != nil && !pace.wait(ctx) {
			return
		}
	}
}

func (a *asker) askRanges(ctx context.Context, id string) ([]netip.Prefix, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return a.engine.NetworkRanges(ctx, id)
}

// adoptRanges hands the ranges of a network to the plane and stores them. After an error
// it can be called again.
func (a *asker) adoptRanges(ctx context.Context, n *dockerNetwork, ranges []netip.Prefix) error {
	if err := n.gate.Acquire(ctx, whole); err != nil {
		return err
	}
	defer n.gate.Release(whole)
	s := a.table.networkState(n)
	if s.gone || s.rec.Removed {
		return nil
	}
	rec := s.rec
	rec.Ranges, rec.Ranged = ranges, true
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := a.plane.SetRanges(ctx, rec.ID, rec.Ranges); err != nil {
		return err
	}
	if err := a.store.Put(kindNetwork, rec.ID, rec); err != nil {
		return err
	}
	a.table.setRecord(n, rec)
	return nil
}
