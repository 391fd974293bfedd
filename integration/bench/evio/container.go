package evio

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"

	"evio/integration/bench/lab"
	"evio/plugin/config"
)

// overlayName is the network of all systems of this package.
const overlayName = "bench"

// mtu is what a network has where nobody says otherwise.
const mtu = 1400

// end is one end of a system: an engine, and who uses its network.
type end struct {
	machine *lab.Machine
	*engine
	addr netip.Prefix
	mac  net.HardwareAddr
}

func newEnds(p *lab.Pair) [2]end {
	return [2]end{
		{machine: p.A, addr: netip.PrefixFrom(lab.TunnelA, tunnelBits), mac: net.HardwareAddr{2, 0, 0, 0, 0, 0xa}},
		{machine: p.B, addr: netip.PrefixFrom(lab.TunnelB, tunnelBits), mac: net.HardwareAddr{2, 0, 0, 0, 0, 0xb}},
	}
}

const tunnelBits = 24

// users are the accounts of the two ends.
var users = []string{"a", "b"}

// Container is evio-container and, with turn, evio-turn.
type Container struct {
	ends   [2]end
	boxes  [2]*lab.Namespace // the containers
	pair   *lab.Pair
	turn   bool
	change func(*config.File) // of both plugins; nil: none
}

// NewContainer returns evio-container.
func NewContainer() *Container { return &Container{} }

// NewTURN returns evio-turn.
func NewTURN() *Container { return &Container{turn: true} }

// Prepare starts the servers and the plugins.
func (c *Container) Prepare(ctx context.Context, p *lab.Pair) error {
	c.ends, c.pair = newEnds(p), p
	server := p.A
	if c.turn {
		var err error
		if server, err = addRelay(ctx, p); err != nil {
			return err
		}
		if c.change, err = startTURN(ctx, server, p.Dir); err != nil {
			return err
		}
	}
	x, err := startXMPP(ctx, server.Namespace, server.Addr, p.Dir, users)
	if err != nil {
		return err
	}
	for i := range c.ends {
		e := &c.ends[i]
		if e.engine, err = newEngine(e.machine.Namespace, p.Dir, users[i], x, c.change); err != nil {
			return err
		}
		if err := e.start(ctx, filepath.Join(p.Bin, "evio"), "plugin"); err != nil {
			return err
		}
	}
	return nil
}

// Up makes the network at both ends, with a container each.
func (c *Container) Up(ctx context.Context) (lab.Ends, error) {
	for i := range c.ends {
		if err := c.run(ctx, i); err != nil {
			return lab.Ends{}, err
		}
	}
	return lab.Ends{
		A: lab.End{Net: c.boxes[0], Addr: c.ends[0].addr.Addr()}, B: lab.End{Net: c.boxes[1], Addr: c.ends[1].addr.Addr()},
		MTU: mtu,
	}, nil
}

// run does what docker run does at one end.
func (c *Container) run(ctx context.Context, i int) (err error) {
	e := &c.ends[i]
	if err := e.createNetwork(ctx, overlayName, e.addr.Masked()); err != nil {
		return err
	}
	name := filepath.Base(e.machine.Path) + "-box"
	if c.boxes[i], err = lab.NewNamespace(ctx, name, c.pair.Dir); err != nil {
		return err
	}
	device, err := e.join(ctx, overlayName, e.addr, e.mac)
	if err != nil {
		return err
	}
	if _, err := e.machine.Run(ctx, "ip", "link", "set", device, "netns", name, "name", "eth0"); err != nil {
		return err
	}
	_, address := c.boxes[i].Run(ctx, "ip", "address", "add", e.addr.String(), "dev", "eth0")
	_, up := c.boxes[i].Run(ctx, "ip", "link", "set", "eth0", "up")
	return errors.Join(address, up)
}

// Down removes the containers and the networks; the plugins stay. It fails if the path was another
// one than the system is about.
func (c *Container) Down(ctx context.Context) error {
	kind := direct
	if c.turn {
		kind = relayed
	}
	errs := []error{checkPath(ctx, &c.ends, kind)}
	for i := range c.ends {
		e := &c.ends[i]
		errs = append(errs, e.leave(ctx, overlayName, e.addr), e.deleteNetwork(ctx, overlayName))
		_, err := e.machine.Run(ctx, "ip", "netns", "delete", filepath.Base(c.boxes[i].Path))
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Kinds of paths, as the status document has them.
const (
	direct  = "direct"
	relayed = "relay"
)

// checkPath returns an error unless both ends' one session has a path of a kind, in a network with
// the MTU of all.
func checkPath(ctx context.Context, ends *[2]end, kind string) error {
	for i := range ends {
		d, err := ends[i].status(ctx)
		if err != nil {
			return err
		}
		for _, n := range d.Networks {
			if len(n.Sessions) != 1 || n.Sessions[0].Path.Kind != kind || n.MTU != mtu {
				return fmt.Errorf("engine %s: MTU %d, sessions %+v: want %d and one by a path of kind %s", users[i], n.MTU, n.Sessions, mtu, kind)
			}
		}
	}
	return nil
}
