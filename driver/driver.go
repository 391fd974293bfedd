package driver

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/docker/go-plugins-helpers/sdk"
	"github.com/sirupsen/logrus"
	"golang.org/x/sync/semaphore"

	"evio/driver/plane"
	"evio/driver/status"
	"evio/internal/store"
)

// Store keeps objects on disk. What a Delete that failed has left is removed by a later
// Put or Delete. *store.Store implements it.
type Store interface {
	Put(kind, id string, body any) error
	Delete(kind, id string) error
	Load(kind string) ([]store.Record, error)
	Left(kind, id string) bool
	SetAside(kind, id string, why error)
	Faults() []string
}

var _ Store = (*store.Store)(nil)

// Config is what a Driver is made of.
type Config struct {
	// EngineID names this engine in hashes of device names. It must stay the same
	// over restarts and differ between engines that share a host.
	EngineID string
	// Store was opened with Kinds. It may be nil when Fault is set.
	Store Store
	// Plane may be nil when Fault is set.
	Plane plane.Plane
	// Engine reports networks' names and ranges, and which of them it still has. Nil:
	// networks without evio.overlay stay local, and nothing is collected.
	Engine Engine
	// Names are the names by which the engine may list networks of this driver, beside
	// those that its list shows.
	Names []string
	// LookApart is the least time between two looks that did not find an object in
	// the engine's lists before it is removed. Default: 20 s.
	LookApart time.Duration
	// Fault, when set, is one sentence that says what keeps this plugin from
	// working, such as a broken configuration file. Networks and attachments are
	// then refused with it; everything else is answered.
	Fault error
	// LinkExists reports whether a network interface is there. Default: the kernel
	// is asked.
	LinkExists func(name string) bool
	// DeleteLink removes a network interface; one that is gone is no error. It
	// serves only endpoints that the plane does not know. Default: nothing.
	DeleteLink func(name string) error
	Log        *logrus.Entry
}

// Driver answers Docker's calls. Make one with New, then Start it and let it Serve
// listeners, in any order; calls wait until Start has loaded the store.
type Driver struct {
	engineID   string
	store      Store
	plane      plane.Plane
	engine     Engine
	linkExists func(string) bool
	deleteLink func(string) error
	log        *logrus.Entry

	handler  sdk.Handler
	calls    *calls
	conns    *conns
	table    *table
	claims   *claimKeeper
	keeping  task // of claims
	watch    *engineWatch
	watching task
	asker    *asker
	restorer *restorer

	mu      sync.Mutex
	fault   error
	started bool
}

// restoreWidth is how many networks are handed to the plane at once after a start.
const restoreWidth = 16

// New returns a driver. It does no I/O.
func New(c Config) *Driver {
	if c.LookApart == 0 {
		c.LookApart = lookApart
	}
	if c.LinkExists == nil {
		c.LinkExists = func(name string) bool {
			_, err := net.InterfaceByName(name)
			return err == nil
		}
	}
	if c.DeleteLink == nil {
		c.DeleteLink = func(string) error { return nil }
	}
	d := &Driver{
		engineID: c.EngineID, store: c.Store, plane: c.Plane, engine: c.Engine, fault: c.Fault,
		linkExists: c.LinkExists, deleteLink: c.DeleteLink, log: c.Log,
		calls: newCalls(), conns: newConns(), table: newTable(),
	}
	d.claims = &claimKeeper{table: d.table, keep: d.keepEndpoint, log: c.Log, news: make(chan struct{}, 1)}
	d.watch = &engineWatch{
		engine: c.Engine, names: c.Names, apart: c.LookApart, table: d.table,
		remove: d.remove, erase: d.eraseEndpoint, log: c.Log, activity: make(chan struct{}, 1),
	}
	d.asker = &asker{engine: c.Engine, table: d.table, plane: c.Plane, store: c.Store, log: c.Log}
	d.restorer = &restorer{
		table: d.table, plane: c.Plane, store: c.Store, asker: d.asker, erase: d.erase,
		linkExists: c.LinkExists, attempts: semaphore.NewWeighted(restoreWidth), log: c.Log,
	}
	d.handler = d.newHandler()
	return d
}

// Start loads the store and begins to hand its networks to the plane, in the
// background, until Close or the end of the context. It is called once.
func (d *Driver) Start(ctx context.Context) {
	var fault error
	loaded := map[string]*dockerNetwork{}
	if d.store != nil {
		loaded, fault = d.restorer.load()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.started {
		return
	}
	d.started = true
	if d.fault == nil {
		d.fault = fault
	}
	if d.fault != nil {
		d.table.fill(ctx, loaded, nil)
		d.log.WithError(d.fault).Error("networks cannot be created and containers cannot join until this is mended")
		return
	}
	if !d.table.isClosed() {
		d.keeping.begin(ctx, d.claims.run)
		d.plane.KeepClaims(d.claims.claimed)
	}
	d.table.fill(ctx, loaded, func(n *dockerNetwork, rec networkRecord) func(context.Context) {
		if rec.Removed {
			return func(ctx context.Context) { d.restorer.eraseLater(ctx, n) }
		}
		return func(ctx context.Context) { d.restorer.restore(ctx, n) }
	})
	if d.engine != nil && !d.table.isClosed() {
		d.watching.begin(ctx, d.watch.run)
	}
	// What could not be loaded may own something.
	if len(d.store.Faults()) == 0 {
		d.plane.Sweep(d.table.owners)
	}
}

// Close refuses new calls, stops listening, waits for the calls in flight (at most
// 5 s, less if the context ends), and ends all background work. Networks and
// endpoints stay as they are. It is idempotent.
func (d *Driver) Close(ctx context.Context) error {
	err := d.conns.stopListening()
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	if d.watching.end(ctx) != nil {
		err = errors.Join(err, errors.New("stop: the comparison with Docker's networks is still running"))
	}
	err = errors.Join(err, d.calls.drain(ctx))
	if d.keeping.end(ctx) != nil {
		err = errors.Join(err, errors.New("stop: what containers have claimed is still being stored"))
	}
	return errors.Join(err, d.table.close(ctx), d.conns.closeAll())
}

// drainTimeout bounds Close.
const drainTimeout = 5 * time.Second

// Faults returns one sentence for each thing that is wrong at present.
func (d *Driver) Faults() []string {
	var faults []string
	if err := d.refused(); err != nil {
		faults = append(faults, sentence(err))
	}
	faults = append(faults, d.table.faults()...)
	faults = append(faults, d.watch.faults()...)
	if d.store != nil {
		faults = append(faults, d.store.Faults()...)
	}
	return faults
}

// refused returns why networks and attachments are refused, if they are.
func (d *Driver) refused() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fault
}

// Collected counts what was removed because Docker had forgotten it.
func (d *Driver) Collected() status.Collected { return d.watch.counts() }
