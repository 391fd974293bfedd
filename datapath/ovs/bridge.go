package ovs

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"evio/datapath/netdev"
)

// MAC is an Ethernet hardware address.
type MAC = [6]byte

// Role says what a port is attached to, and so what it may send.
type Role uint8

// Roles of ports.
const (
	Container Role = iota + 1 // a container: its own addresses only
	Link                      // a peer: frames from the addresses of that node, to one of ours
	Fabric                    // the evio process: trusted
)

// String returns the name that is stored with the port.
func (r Role) String() string {
	switch r {
	case Container:
		return "container"
	case Link:
		return "link"
	case Fabric:
		return "fabric"
	}
	return fmt.Sprintf("role %d", uint8(r))
}

// Port is a device of the host that belongs to a bridge.
type Port struct {
	// Name of the device, which must exist.
	Name string
	Role Role
	// MACs is a container's one address, or what the directory gives to the node
	// at the other end of a link. Others than unicast addresses are left out for
	// links.
	MACs []MAC
	// Addrs are a container's addresses, of both families.
	Addrs []netip.Addr
	// Lost are addresses that a container has and a peer owns: it neither sends nor gets
	// anything with them.
	Lost []netip.Addr
	// Mute is set when a peer owns a container's MAC address: it sends and gets nothing.
	Mute bool
}

// Bridge is the state that Apply makes real: one network.
type Bridge struct {
	// Name of the bridge device, at most 15 bytes.
	Name string
	// Network and Engine, of several that may share the switch, are stored with the
	// bridge, so that it can be recognised.
	Network, Engine string
	// MTU of the bridge device.
	MTU int
	// Ports are all there shall be; others are removed.
	Ports []Port
}

// Validate reports everything that is wrong with the description.
func (b Bridge) Validate() error {
	errs := []error{netdev.CheckName(b.Name), netdev.CheckMTU(b.MTU)}
	if b.Network == "" {
		errs = append(errs, errors.New("no network: give the network's identifier"))
	}
	names, owners, fabric := map[string]bool{b.Name: true}, map[MAC]string{}, ""
	for _, p := range b.Ports {
		errs = append(errs, netdev.CheckName(p.Name), p.validate())
		if names[p.Name] {
			errs = append(errs, fmt.Errorf("port %s: the name is used twice", p.Name))
		}
		names[p.Name] = true
		switch p.Role {
		case Container:
			for _, m := range p.MACs {
				if p.Mute {
					break // another port's, maybe
				}
				if other, ok := owners[m]; ok {
					errs = append(errs, fmt.Errorf("port %s: MAC address %s is that of port %s as well, give one of them another",
						p.Name, net.HardwareAddr(m[:]), other))
				}
				owners[m] = p.Name
			}
		case Fabric:
			if fabric != "" {
				errs = append(errs, fmt.Errorf("port %s: %s is the fabric port already", p.Name, fabric))
			}
			fabric = p.Name
		case Link:
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("bridge %s: %w", b.Name, err)
	}
	return nil
}

func (p Port) validate() error {
	switch p.Role {
	case Container:
		if len(p.MACs) != 1 || !unicast(p.MACs[0]) {
			return fmt.Errorf("port %s: a container has exactly one unicast MAC address", p.Name)
		}
		for _, a := range slices.Concat(p.Addrs, p.Lost) {
			if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.Is4In6() || a.Zone() != "" {
				return fmt.Errorf("port %s: %s is no address of a container", p.Name, a)
			}
		}
		return nil
	case Link, Fabric:
		return nil
	}
	return fmt.Errorf("port %s: unknown %s", p.Name, p.Role)
}

func unicast(m MAC) bool { return m[0]&1 == 0 && m != MAC{} }
