package evio

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"evio/integration/bench/lab"
	"evio/plugin/config"
)

const (
	memoryNetworks = 7
	memoryPeers    = 15 // at each of them
	// memoryIdle is how long nothing happens before memory is read.
	memoryIdle = 30 * time.Second
	// memoryPort is the UDP port of the first engine.
	memoryPort = 15000
)

var _ lab.Memory = (*Container)(nil)

// MemoryPerTunnel implements lab.Memory: a plugin at A has a session, with a port, to each of 15
// plugins at B in each of 7 networks. They use the Open vSwitches of the two plugins
// that are there.
func (c *Container) MemoryPerTunnel(ctx context.Context) (perTunnel float64, err error) {
	dir := filepath.Join(c.pair.Dir, "m")
	var groups [][]string
	for i := range memoryPeers {
		groups = append(groups, []string{"m", peerName(i)})
	}
	at := c.ends[1].machine
	x, err := startXMPP(ctx, at.Namespace, at.Addr, dir, groups...)
	if err != nil {
		return 0, err
	}
	defer x.process.Stop()
	one, err := c.memoryEngine(ctx, 0, "m", memoryPort, x, dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, one.quit(ctx)) }()
	before, err := one.idleMemory(ctx)
	if err != nil {
		return 0, err
	}
	for i := range memoryPeers {
		peer, err := c.memoryEngine(ctx, 1, peerName(i), memoryPort+1+i, x, dir)
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, peer.quit(ctx)) }()
	}
	if err := one.process.Await(ctx, func() error { return one.connected(ctx, memoryNetworks*memoryPeers) }); err != nil {
		return 0, err
	}
	after, err := one.idleMemory(ctx)
	if err != nil {
		return 0, err
	}
	return float64(after-before) / (memoryNetworks * memoryPeers), nil
}

func peerName(i int) string { return fmt.Sprintf("p%d", i) }

func memoryOverlay(i int) (name string, subnet netip.Prefix) {
	return fmt.Sprintf("memory%d", i), netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 0}), 16)
}

// memoryEngine starts an engine with all networks at one end.
func (c *Container) memoryEngine(ctx context.Context, at int, user string, port int, x *xmppServer, dir string) (*engine, error) {
	there := c.ends[at]
	e, err := newEngine(there.machine.Namespace, dir, user, x, func(f *config.File) {
		f.OVS.RunDir, f.UDPPort = there.file("run/ovs"), port
	})
	if err != nil {
		return nil, err
	}
	if err := e.start(ctx, filepath.Join(c.pair.Bin, "evio"), "plugin"); err != nil {
		return nil, err
	}
	for i := range memoryNetworks {
		name, subnet := memoryOverlay(i)
		if err := e.createNetwork(ctx, name, subnet); err != nil {
			return nil, errors.Join(err, e.quit(ctx))
		}
	}
	return e, nil
}

// quit removes the networks and ends the engine.
func (e *engine) quit(ctx context.Context) error {
	var errs []error
	for i := range memoryNetworks {
		name, _ := memoryOverlay(i)
		errs = append(errs, e.deleteNetwork(ctx, name))
	}
	e.process.Stop()
	return errors.Join(errs...)
}

// connected returns an error unless the engine has that many sessions, each with a port: a network
// has two ports beside those of its links.
func (e *engine) connected(ctx context.Context, sessions int) error {
	d, err := e.status(ctx)
	if err != nil {
		return err
	}
	there, ports := 0, 0
	for _, n := range d.Networks {
		ports += len(n.Ports) - 2
		for _, s := range n.Sessions {
			if s.State == "established" {
				there++
			}
		}
	}
	if there != sessions || ports != sessions {
		return fmt.Errorf("%d sessions and %d ports, want %d of each", there, ports, sessions)
	}
	return nil
}

var resident = regexp.MustCompile(`(?m)^VmRSS:\s+(\d+) kB$`)

// idleMemory waits and returns the resident bytes of the process.
func (e *engine) idleMemory(ctx context.Context) (int, error) {
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(memoryIdle):
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", e.process.PID))
	if err != nil {
		return 0, err
	}
	found := resident.FindSubmatch(text)
	if found == nil {
		return 0, fmt.Errorf("process %d tells no resident memory", e.process.PID)
	}
	kib, err := strconv.Atoi(string(found[1]))
	return kib << 10, err
}
