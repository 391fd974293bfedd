// Package ovs drives Open vSwitch: it makes bridges, ports and flow tables what its
// caller wants them to be.
//
// Everything is declarative. The caller describes a whole bridge; Apply compares
// it with what is there and carries out the difference: one database transaction,
// one bundle of flows, and nothing if there is no difference. No controller is
// involved in any frame, nothing is learned, and a bridge forwards nothing that its
// table does not name. What frames may pass is written in Flows.
//
// A Switch is the host's Open vSwitch where its database answers, otherwise database and
// switch of our own, children of this process that die with it and are started
// again when they die. Its methods may be called from any goroutine.
package ovs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/vishvananda/netlink"

	"evio/datapath/netdev"
)

const (
	// commandTimeout bounds one program or one read of the database.
	commandTimeout = 20 * time.Second
	// applyTimeout bounds one Apply or Delete.
	applyTimeout = 25 * time.Second
)

// Values of Info.Datapath.
const (
	DatapathSystem = "system" // in the kernel
	DatapathNetdev = "netdev" // in user space
)

// Config says which Open vSwitch to use.
type Config struct {
	// HostRunDir is the run directory of the host's Open vSwitch, with db.sock and
	// a socket per bridge in it, usually /var/run/openvswitch. Empty: none.
	HostRunDir string
	// RunDir takes sockets and, if StateDir is empty, the database of our own
	// processes. It is made.
	RunDir string
	// StateDir takes the database of our own processes, which is made anew at each
	// start: nothing in it outlives them.
	StateDir string
	// SchemaFile is the database's schema; default
	// /usr/share/openvswitch/vswitch.ovsschema.
	SchemaFile string
	// Engine tells this engine's shields from those of others on the same host.
	Engine string
	// Log is required.
	Log *logrus.Entry
}

func (c Config) withDefaults() (Config, error) {
	if c.SchemaFile == "" {
		c.SchemaFile = "/usr/share/openvswitch/vswitch.ovsschema"
	}
	if c.StateDir == "" {
		c.StateDir = c.RunDir
	}
	if c.Log == nil || c.RunDir == "" {
		return c, errors.New("start Open vSwitch: no log or no run directory given")
	}
	return c, nil
}

// Info describes a running switch.
type Info struct {
	Own      bool   // database and switch are children of this process
	Datapath string // DatapathSystem or DatapathNetdev
	Version  string // of Open vSwitch, "unknown" where it does not say
}

// Switch is a running Open vSwitch.
type Switch struct {
	log      *logrus.Entry
	programs programs
	info     Info

	stop      func() // ends and waits for what Start started; once
	restarted chan struct{}
	// generation counts the switch's starts; its flows do not outlive one.
	generation    atomic.Uint64
	serial        atomic.Uint64 // of the last Apply that ended well
	shields       *netdev.Shields
	socketWarning sync.Once
	unequipped    atomic.Bool // the kernel does not share the switch's sockets
	unmetered     atomic.Bool // it has no meters
	vswitchd      *daemon     // of our own switch

	mu      sync.Mutex // guards bridges and users in it, and sockets
	bridges map[string]*bridgeState
	sockets map[string]*sockets // by bridge
}

// Start finds the host's Open vSwitch, or starts one of our own and waits until it
// works. The context bounds the start only. Own processes live until Stop.
func Start(ctx context.Context, c Config) (*Switch, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Switch{
		log: c.Log, restarted: make(chan struct{}, 1), bridges: map[string]*bridgeState{}, sockets: map[string]*sockets{},
		shields: netdev.NewShields(c.Engine),
	}
	s.programs.starts = new(atomic.Uint64)
	s.info.Datapath = datapathType()
	if s.info.Datapath != DatapathNetdev { // it was another one before, maybe
		if err := s.shields.Remove(); err != nil {
			return nil, fmt.Errorf("start Open vSwitch: %w", err)
		}
	}
	if c.HostRunDir != "" {
		err := s.awaitHost(ctx, c.HostRunDir)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			c.Log.WithError(err).Warn("the host's Open vSwitch does not answer: starting evio's own")
		}
	}
	if err := s.startOwn(ctx, c); err != nil {
		return nil, fmt.Errorf("start Open vSwitch: %w", err)
	}
	return s, nil
}

// datapathType asks the kernel for Open vSwitch's family of netlink, which loads
// the module where there is one.
func datapathType() string {
	h, err := netlink.NewHandle()
	if err != nil {
		return DatapathNetdev
	}
	defer h.Close()
	if _, err := h.GenlFamilyGet("ovs_datapath"); err != nil {
		return DatapathNetdev
	}
	return DatapathSystem
}

// Info describes the switch.
func (s *Switch) Info() Info { return s.info }

// Programs tells how many of Open vSwitch's tools have been started so far.
func (s *Switch) Programs() uint64 { return s.programs.starts.Load() }

// Restarted gives a value after the switch or its database was started again, be
// it ours or the host's: all flows are gone and every bridge must be applied again.
// Several restarts may give one value. It is never closed.
func (s *Switch) Restarted() <-chan struct{} { return s.restarted }

// noteRestart makes what is remembered of flows invalid and tells the caller.
func (s *Switch) noteRestart() {
	s.generation.Add(1)
	select {
	case s.restarted <- struct{}{}:
	default:
	}
}

// Stop ends our own processes, their bridges and ports with them, and waits for
// that. A host's switch is left as it is. Stop may be called more than once.
func (s *Switch) Stop() { s.stop() }

// Bridges returns the names of all bridges that are ours, sorted.
func (s *Switch) Bridges(ctx context.Context) ([]string, error) {
	o, err := s.programs.read(ctx)
	if err != nil {
		return nil, fmt.Errorf("list bridges: %w", err)
	}
	var names []string
	for name, b := range o.bridges {
		if b.ours {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Ports returns the names of a bridge's ports without its own device, sorted; none
// if there is no such bridge.
func (s *Switch) Ports(ctx context.Context, bridge string) ([]string, error) {
	o, err := s.programs.read(ctx)
	if err != nil {
		return nil, fmt.Errorf("list ports of %s: %w", bridge, err)
	}
	return o.bridges[bridge].ports, nil
}
