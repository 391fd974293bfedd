package network

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"evio/datapath/netdev"
	"evio/datapath/ovs"
	"evio/datapath/proof"
	"evio/datapath/session"
	"evio/datapath/tap"
	"evio/driver/network/device"
	"evio/driver/plane"
	"evio/overlay/member"
)

var _ plane.Plane = (*Plane)(nil)

// switchRetry is how long a Plane waits before it tries again to reach Open vSwitch.
const switchRetry = 2 * time.Second

var errStarting = errors.New("it is still starting")

// Config is what a Plane is made of.
type Config struct {
	Key       ed25519.PrivateKey // the engine's identity
	Book      *member.Book
	Transport *session.Transport
	// Secrets has a function for each overlay with a secret, which gives what is to be
	// used now, the first one first. It is asked at each session and every few seconds,
	// and is quick except after a change.
	Secrets map[string]func() ([]proof.Secret, error)
	// Site is what people call the place of this engine; empty: it has no name.
	Site string
	// Claims says, by account, whose the addresses within prefixes are.
	Claims map[string][]netip.Prefix
	// Memory keeps what is known of claims; nil: nothing does.
	Memory Memory
	// OpenLink opens the TAP of a link's port, under the name and with all else that the
	// configuration says; nil: device.OpenPort. Another one serves measurements.
	OpenLink func(device.PortConfig) (tap.Device, error)
	// Offload is what the TAPs of links may offload, where the switch can do it too. Why says
	// why something is left out.
	Offload tap.Offloads
	OVS     ovs.Config
	Log     *logrus.Entry
}

// Plane is the data and control plane of the process. Its methods may be called
// from any goroutine.
type Plane struct {
	key       ed25519.PrivateKey
	engine    string // names this engine in hashes of device names
	site      string
	book      *member.Book
	transport *session.Transport
	secrets   map[string]func() ([]proof.Secret, error)
	claims    map[string][]netip.Prefix
	memory    Memory
	openLink  func(device.PortConfig) (tap.Device, error)
	offload   tap.Offloads
	ovsConfig ovs.Config
	log       *logrus.Entry

	ready chan struct{} // closed when sw is set

	mu       sync.Mutex
	sw       *ovs.Switch
	swErr    error // why there is no switch yet
	networks map[string]*network
	closed   bool // Run has ended

	owned  chan struct{} // owners are known; holds one
	owners func() map[string][]string
	kept   func(networkID, endpointID string, claims []plane.Claim) // takes what containers have claimed; nil: nobody keeps it
	swept  uint64                                                   // bridges and devices that nothing owned

	suspects map[orphan]bool // of the last look; belongs to watch
}

// New returns a plane that waits for Run to bring up its switch.
func New(c Config) *Plane {
	c.OVS.Engine = device.EngineID(c.Key)
	if c.OpenLink == nil {
		c.OpenLink = openPort
	}
	return &Plane{
		key: c.Key, engine: c.OVS.Engine, site: c.Site, book: c.Book, transport: c.Transport, secrets: c.Secrets,
		claims: c.Claims, memory: c.Memory, openLink: c.OpenLink, offload: c.Offload,
		ovsConfig: c.OVS, log: c.Log, ready: make(chan struct{}), networks: map[string]*network{},
		swErr: errStarting, owned: make(chan struct{}, 1),
	}
}

// Run brings up the switch, trying again until that succeeds, re-applies every
// bridge after the switch restarted, looks after them, and ends everything when the
// context ends.
func (p *Plane) Run(ctx context.Context) error {
	sw := p.startSwitch(ctx)
	if sw == nil {
		return nil
	}
	defer sw.Stop()
	defer p.closeAll()
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() { p.watch(ctx, sw) })
	watching.Go(func() { p.watchShields(ctx, sw) })
	watching.Go(func() { p.watchSecrets(ctx) })
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-sw.Restarted():
			p.log.Warn("Open vSwitch restarted, bridges are applied again")
			p.mu.Lock()
			for _, n := range p.networks {
				n.switched.request()
			}
			p.mu.Unlock()
		}
	}
}

func (p *Plane) startSwitch(ctx context.Context) *ovs.Switch {
	for {
		sw, err := ovs.Start(ctx, p.ovsConfig)
		if err == nil {
			p.mu.Lock()
			p.sw, p.swErr = sw, nil
			p.mu.Unlock()
			close(p.ready)
			info := sw.Info()
			p.log.WithFields(logrus.Fields{"own": info.Own, "datapath": info.Datapath, "version": info.Version}).Info("Open vSwitch is up")
			return sw
		}
		if ctx.Err() != nil {
			return nil
		}
		p.mu.Lock()
		known := p.swErr.Error() == err.Error()
		p.swErr = err
		p.mu.Unlock()
		if !known {
			p.log.WithError(err).Error("Open vSwitch cannot be used, trying again")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(switchRetry):
		}
	}
}

func (p *Plane) closeAll() {
	p.mu.Lock()
	all := p.networks
	p.networks, p.closed = map[string]*network{}, true
	p.mu.Unlock()
	for _, n := range all {
		n.close()
	}
}

// waitSwitch returns the switch. It waits for one that starts as long as the context
// lets it, but not long for one that could not be started.
func (p *Plane) waitSwitch(ctx context.Context) (*ovs.Switch, error) {
	p.mu.Lock()
	failed := p.sw == nil && !errors.Is(p.swErr, errStarting)
	p.mu.Unlock()
	if failed {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, switchRetry)
		defer cancel()
	}
	select {
	case <-p.ready:
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sw == nil {
		return nil, plane.Unavailable{Err: fmt.Errorf("Open vSwitch cannot be used (%w): mend that or name the host's in ovs.run_dir; the plugin goes on trying", p.swErr)}
	}
	return p.sw, nil
}

// AddNetwork implements plane.Plane: the bridge is up when it returns; joining
// the overlay goes on by itself. A network that is there already stays as it is.
func (p *Plane) AddNetwork(ctx context.Context, spec plane.NetworkSpec) error {
	sw, err := p.waitSwitch(ctx)
	if err != nil {
		return err
	}
	p.mu.Lock()
	_, exists := p.networks[spec.ID]
	closed := p.closed
	p.mu.Unlock()
	if closed {
		return errClosed
	}
	if exists {
		return p.SetOverlay(ctx, spec.ID, spec.Overlay)
	}
	n, err := newNetwork(ctx, p, sw, spec)
	if err != nil {
		return err
	}
	n.adopt(ctx, spec.Endpoints)
	applied := n.switched.wait(ctx)
	if err := ofPort(applied, n.fabric.Name()); err != nil {
		n.close()
		err = fmt.Errorf("make bridge: %w", err)
		if spec.Adopt {
			return err // containers may be talking over what there is
		}
		return errors.Join(err, p.deleteBridge(ctx, sw, n.bridge))
	}
	n.noteAdopted(applied)
	p.mu.Lock()
	closed = p.closed // meanwhile
	if !closed {
		p.networks[spec.ID] = n
	}
	p.mu.Unlock()
	if closed {
		n.close()
		return errClosed
	}
	n.join(ctx, spec.Overlay)
	return nil
}

// deleteBridge removes a bridge also when the call that wanted it is over.
func (p *Plane) deleteBridge(ctx context.Context, sw *ovs.Switch, name string) error {
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return sw.Delete(undo, name)
}

// SetOverlay implements plane.Plane.
func (p *Plane) SetOverlay(ctx context.Context, id, name string) error {
	n, err := p.network(id)
	if err != nil {
		return err
	}
	n.join(ctx, name)
	return nil
}

// SetRanges implements plane.Plane.
func (p *Plane) SetRanges(_ context.Context, id string, ranges []netip.Prefix) error {
	n, err := p.network(id)
	if err != nil {
		return err
	}
	n.setRanges(ranges)
	return nil
}

// RemoveNetwork implements plane.Plane.
func (p *Plane) RemoveNetwork(ctx context.Context, id string) error {
	sw, err := p.waitSwitch(ctx)
	if err != nil {
		return err
	}
	p.mu.Lock()
	n := p.networks[id]
	delete(p.networks, id)
	p.mu.Unlock()
	if n != nil {
		n.close()
	}
	err = p.deleteBridge(ctx, sw, device.Name(device.BridgePrefix, p.engine, id))
	if n != nil {
		err = errors.Join(err, n.known.forget())
		for _, e := range n.endpoints { // nobody adds one any more
			err = errors.Join(err, removeVeth(e.spec.HostIf))
		}
	}
	return err
}

// CheckEndpoint implements plane.Plane.
func (p *Plane) CheckEndpoint(ctx context.Context, spec plane.EndpointSpec) error {
	n, err := p.network(spec.NetworkID)
	if err != nil {
		return err
	}
	return n.check(ctx, spec)
}

// AddEndpoint implements plane.Plane. A pair whose container end has already
// been moved into a container is adopted.
func (p *Plane) AddEndpoint(ctx context.Context, spec plane.EndpointSpec) error {
	n, err := p.network(spec.NetworkID)
	if err != nil {
		return err
	}
	return n.addEndpoint(ctx, spec)
}

// RemoveEndpoint implements plane.Plane.
func (p *Plane) RemoveEndpoint(ctx context.Context, networkID, endpointID string) error {
	p.mu.Lock()
	n := p.networks[networkID]
	p.mu.Unlock()
	if n == nil {
		return nil
	}
	return n.removeEndpoint(ctx, endpointID)
}

func (p *Plane) network(id string) (*network, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.networks[id]
	if n == nil {
		return nil, fmt.Errorf("network %s is not running on this engine: remove it and create it again", short(id))
	}
	return n, nil
}

// removeVeth deletes a container's pair by its host end.
func removeVeth(name string) error {
	if err := netdev.Delete(name); err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

// KeepClaims implements plane.Plane.
func (p *Plane) KeepClaims(kept func(networkID, endpointID string, claims []plane.Claim)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept = kept
}
