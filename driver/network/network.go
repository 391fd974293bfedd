package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"evio/datapath/ovs"
	"evio/datapath/tap"
	"evio/driver/network/admission"
	"evio/driver/network/device"
	"evio/driver/network/guesses"
	"evio/driver/plane"
	"evio/overlay"
	"evio/overlay/nodeid"
)

// network is one running network: its bridge, the fabric port, its node in the
// overlay (none while it is local) and a link to every peer that has a session.
type network struct {
	plane  *Plane
	sw     *ovs.Switch
	spec   plane.NetworkSpec
	engine string
	bridge string
	fabric tap.Device
	log    *logrus.Entry

	group group // ended by close

	node     atomic.Pointer[overlay.Node]
	switched *applier
	drops    drops
	losses   losses
	loops    loops
	secret   overlaySecret
	guesses  guesses.Limiter // of the overlay's secret
	known    knowledge
	links    links
	repairs  repairs

	rules   *admission.Rules
	pending pendingFloods
	asking  tap.Device
	claimer *claimer
	stormed map[overlay.MAC]time.Time // when the log named a container; belongs to the fabric reader

	mu        sync.Mutex
	overlay   string
	closed    bool
	ranges    []netip.Prefix // from which Docker hands out addresses, as far as known
	moved     moved          // belongs to the node's goroutine, not guarded by mu
	endpoints map[string]*endpoint
	lastTag   uint16 // that was given to an endpoint
	view      view
	accepted  accepted
}

func newNetwork(ctx context.Context, p *Plane, sw *ovs.Switch, spec plane.NetworkSpec) (_ *network, err error) {
	n := &network{
		plane: p, sw: sw, spec: spec, engine: p.engine, ranges: spec.Ranges,
		bridge:    device.Name(device.BridgePrefix, p.engine, spec.ID),
		endpoints: map[string]*endpoint{},
		links:     links{by: map[nodeid.ID]*link{}},
		log:       p.log.WithField("network", short(spec.ID)),
	}
	n.bind()
	mode, err := admission.ParseMode(spec.Guard)
	if err != nil {
		return nil, err
	}
	n.rules = newRules(mode, n)
	if mode == admission.Open {
		n.view.elsewhere = map[netip.Addr]struct{}{}
	}
	fabric := device.Name(device.FabricPrefix, p.engine, spec.ID)
	n.fabric, err = device.OpenPort(device.PortConfig{
		Name: fabric, MTU: spec.MTU, Mark: device.Mark(p.engine, spec.ID), Log: n.log, Shield: sw.Shield, Again: func(lost bool) { n.portAgain(fabric, lost) },
	})
	if err != nil {
		return nil, fmt.Errorf("open fabric port: %w", err)
	}
	n.switched = newApplier(n.log, n.apply)
	n.claimer = newClaimer(n, mode)
	if err := n.openAsking(); err != nil {
		return nil, errors.Join(err, n.fabric.Close())
	}
	n.loops.start(ctx) // before the readers, which ask it
	n.group.begin(ctx, n.claimer.read)
	n.group.begin(ctx, n.claimer.run)
	n.group.begin(ctx, n.claimer.installed)
	n.switched.partly = n.applyMoves
	n.group.begin(ctx, n.switched.run)
	n.group.begin(ctx, n.readFabric)
	return n, nil
}

// bind makes the network known to the parts of it that act on it.
func (n *network) bind() {
	n.pending.n, n.loops.n, n.secret.n, n.known.n, n.links.n = n, n, n, n, n
}

// close ends the network's goroutines, its node, links and devices; the bridge is
// the caller's to delete. It waits.
func (n *network) close() {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	n.group.end()
	closeErr := errors.Join(n.fabric.Close(), n.asking.Close())
	n.group.wait()
	closeErr = errors.Join(closeErr, n.links.close())
	if closeErr != nil {
		n.log.WithError(closeErr).Warn("network closed with errors")
	}
}

// currentNode returns the network's node, or nil while the network is local.
func (n *network) currentNode() *overlay.Node { return n.node.Load() }

// join makes the network part of an overlay. A network that already is in one
// stays there.
func (n *network) join(ctx context.Context, name string) {
	n.mu.Lock()
	done := n.closed || n.overlay != "" || name == ""
	n.mu.Unlock()
	if done {
		return
	}
	known := n.known.load(name)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || n.overlay != "" {
		return
	}
	n.overlay = name
	log := n.log.WithField("overlay", name)
	if !n.plane.book.Served(name) {
		log.Info("network of this engine only: no signalling service is configured for its overlay; name one in the configuration file to reach other sites")
		return
	}
	node := overlay.New(overlay.Config{
		Overlay: name, Key: n.plane.key, Site: n.plane.site, MTU: n.spec.MTU, Guard: n.spec.Guard,
		Subnets: usableSubnets(n.spec.Subnets), Gateways: n.spec.Gateways, Book: n.plane.book,
		Claims: n.plane.claims, Known: known,
		Sessions: sessions{n}, Fabric: fabric{n}, Moves: moving{n}, Log: log,
	})
	node.HandOut(n.ranges)
	n.node.Store(node)
	n.claimer.put(func(ctx context.Context, now time.Time) { n.claimer.carry(ctx, n.claimer.core.Joined(now)) })
	n.group.begin(ctx, node.Run)
	n.group.begin(ctx, func(ctx context.Context) { n.loops.claim(ctx, node) })
	n.group.begin(ctx, func(ctx context.Context) {
		if err := node.Forgot(); err != nil {
			n.known.lost(name, err)
		}
		n.known.run(ctx, node)
	})
	for _, e := range n.endpoints {
		n.group.begin(ctx, func(ctx context.Context) {
			if err := node.Keep(ctx, e.spec.Addrs, e.spec.MAC); err != nil && ctx.Err() == nil {
				log.WithError(err).WithField("endpoint", short(e.spec.ID)).Error("address of a running container is not announced to the overlay")
			}
			n.mu.Lock()
			defer n.mu.Unlock()
			if n.endpoints[e.spec.ID] != e && n.takenLocked(e.spec) == nil {
				node.Withdraw(e.spec.Addrs, e.spec.MAC) // it left before it was claimed
			}
		})
	}
	log.WithField("node", node.ID()).Info("joining overlay")
}

// setRanges says from which ranges Docker hands out addresses.
func (n *network) setRanges(ranges []netip.Prefix) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ranges = ranges
	if node := n.currentNode(); node != nil {
		node.HandOut(ranges)
	}
}

// usableSubnets leaves out the pool that stands for "no addresses".
func usableSubnets(all []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range all {
		if p.Bits() > 0 {
			out = append(out, p)
		}
	}
	return out
}

func short(id string) string { return id[:min(12, len(id))] }
