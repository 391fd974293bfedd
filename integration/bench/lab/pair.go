package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
)

// Pair is two machines with one cable between them.
type Pair struct {
	A, B *Machine
	// Dir is an empty directory for the system's files. It goes with the bench.
	Dir string
	// Bin has the programs that are built for the bench: bench itself, evio, probe,
	// wireguard-go, nebula, nebula-cert.
	Bin string
}

// Machine is one end of a pair's cable.
type Machine struct {
	*Namespace
	Device string     // its end of the cable
	Addr   netip.Addr // of Device, a /24
}

// Of the cable. TunnelA and TunnelB, a /24, are for the users of the tunnel.
var (
	addrA   = netip.MustParseAddr("198.18.0.1")
	addrB   = netip.MustParseAddr("198.18.0.2")
	TunnelA = netip.MustParseAddr("198.19.0.1")
	TunnelB = netip.MustParseAddr("198.19.0.2")
)

// UnderlayMTU is the cable's.
const UnderlayMTU = 1500

// NewPair makes the namespaces NAME-a and NAME-b, their cable, and an empty directory below dir.
func NewPair(ctx context.Context, name, dir, bin string) (*Pair, error) {
	p := &Pair{Dir: filepath.Join(dir, name), Bin: bin}
	fail := func(err error) (*Pair, error) { return nil, fmt.Errorf("pair %s: %w", name, err) }
	if err := os.MkdirAll(p.Dir, 0o750); err != nil {
		return fail(err)
	}
	for _, end := range []struct {
		machine **Machine
		suffix  string
		addr    netip.Addr
	}{{&p.A, "-a", addrA}, {&p.B, "-b", addrB}} {
		n, err := NewNamespace(ctx, name+end.suffix, p.Dir)
		if err != nil {
			return fail(err)
		}
		*end.machine = &Machine{Namespace: n, Device: "eth0", Addr: end.addr}
	}
	_, err := p.A.Run(ctx, "ip", "link", "add", "eth0", "mtu", fmt.Sprint(UnderlayMTU), "type", "veth",
		"peer", "name", "eth0", "mtu", fmt.Sprint(UnderlayMTU), "netns", filepath.Base(p.B.Path))
	if err != nil {
		return fail(err)
	}
	for _, m := range []*Machine{p.A, p.B} {
		_, address := m.Run(ctx, "ip", "address", "add", m.Addr.String()+"/24", "dev", m.Device)
		_, up := m.Run(ctx, "ip", "link", "set", m.Device, "up")
		if err := errors.Join(address, up); err != nil {
			return fail(err)
		}
	}
	return p, nil
}
