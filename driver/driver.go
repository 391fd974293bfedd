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
	// Engine tells networks' names and ranges, and what it still has of the store. Nil:
	// networks without evio.overlay stay local, and nothing is collected.
	Engine Engine
	// Names are the names of this driver by which the engine lists networks, but for
	// those that the engine's list tells.
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
	attempts *semaphore.Weighted // bounds how many networks are restored at once
	names    []string
	apart    time.Duration
	activity chan struct{} // the engine has started, so its lists are worth a look; holds one

	mu        sync.Mutex
	fault     error
	started   bool
	version   engineVersion      // of the engine, once it has told it
	looks     context.CancelFunc // ends the looks at the engine's lists, once these are begun
	looked    chan struct{}      // closed when they have ended
	missing   []string           // a sentence for each network that the engine has and the store lacks
	shadowed  []string           // a sentence for each name that a plugin of the engine has
	collected status.Collected

	claimNews  chan struct{}            // unkept is not empty
	unkept     map[*dockerEndpoint]bool // whose claims are to be stored
	endClaims  context.CancelFunc
	claimsKept chan struct{} // closed when that has ended
}

// restoreWidth is how many networks are handed to the plane at once after a start.
const restoreWidth = 16

// New returns a driver. It does no I/O.
func New(c Config) *Driver {
	d := &Driver{
		engineID: c.EngineID, store: c.Store, plane: c.Plane, engine: c.Engine, fault: c.Fault,
		linkExists: c.LinkExists, deleteLink: c.DeleteLink, log: c.Log,
		calls: newCalls(), conns: newConns(), table: newTable(),
		attempts: semaphore.NewWeighted(restoreWidth),
		names:    c.Names, apart: c.LookApart, activity: make(chan struct{}, 1),
		looks: func() {}, looked: make(chan struct{}),
		claimNews: make(chan struct{}, 1), endClaims: func() {}, claimsKept: make(chan struct{}),
	}
	close(d.looked)
	close(d.claimsKept)
	if d.apart == 0 {
		d.apart = lookApart
	}
	if d.linkExists == nil {
		d.linkExists = func(name string) bool {
			_, err := net.InterfaceByName(name)
			return err == nil
		}
	}
	if d.deleteLink == nil {
		d.deleteLink = func(string) error { return nil }
	}
	d.handler = d.newHandler()
	return d
}

// Close refuses new calls, stops listening, waits for the calls in flight (at most
// 5 s, less if the context ends), and ends all background work. Networks and
// endpoints stay as they are. It is idempotent.
func (d *Driver) Close(ctx context.Context) error {
	err := d.conns.stopListening()
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	err = errors.Join(err, d.endLooks(ctx), d.calls.drain(ctx), d.awaitClaims(ctx), d.table.close(ctx))
	return errors.Join(err, d.conns.closeAll())
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
	d.mu.Lock()
	faults = append(faults, d.missing...)
	faults = append(faults, d.shadowed...)
	d.mu.Unlock()
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
