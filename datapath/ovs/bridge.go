package ovs

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"evio/datapath/filter"
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
	Asking                    // the evio process: decides what the flows do not, see Port.Tag
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
	case Asking:
		return "asking"
	}
	return fmt.Sprintf("role %d", uint8(r))
}

// Port is a device of the host that belongs to a bridge.
type Port struct {
	// Name of the device, which must exist.
	Name string
	Role Role
	// MACs is a container's address and those that it has taken beside it, or what the
	// directory gives to the node at the other end of a link. Others than unicast
	// addresses are left out for links.
	MACs []MAC
	// Addrs are a container's addresses, of both families.
	Addrs []netip.Addr
	// Taken are addresses that a container has taken by itself.
	Taken []netip.Addr
	// Tag, 1 to 4094, names a container to the asking port: a frame that this decides
	// about comes there with an outer tag 0x88a8 of that VLAN, and may be put back in the
	// same form, after which the container's flows as they are then decide. Zero: this
	// container's frames are not asked about.
	Tag uint16
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
	// Guard says what containers may send, and what is delivered to them.
	Guard *filter.Guard
	// Elsewhere are addresses that nobody here holds, but somebody else; they only count
	// for a guard that asks what others hold.
	Elsewhere []netip.Addr
	// Ports are all there shall be; others are removed.
	Ports []Port

	unmetered bool // the switch does not limit what is asked about
}

// tagLen is the length of the tag in front of frames of the asking port.
const tagLen = 4

// mtuOf returns the MTU that the device of a port shall have: frames of the asking port are
// longer by a tag, which the kernel counts.
func (b Bridge) mtuOf(port string) int {
	for _, p := range b.Ports {
		if p.Name == port && p.Role == Asking {
			return b.MTU + tagLen
		}
	}
	return b.MTU
}

// Validate reports everything that is wrong with the description.
func (b Bridge) Validate() error {
	errs := []error{netdev.CheckName(b.Name), netdev.CheckMTU(b.MTU)}
	if b.Network == "" {
		errs = append(errs, errors.New("no network: give the network's identifier"))
	}
	if b.Guard == nil {
		errs = append(errs, errors.New("no guard: say what containers may send"))
	}
	names, owners, one := map[string]bool{b.Name: true}, map[MAC]string{}, map[Role]string{}
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
		case Fabric, Asking:
			if other := one[p.Role]; other != "" {
				errs = append(errs, fmt.Errorf("port %s: %s is the %s port already", p.Name, other, p.Role))
			}
			one[p.Role] = p.Name
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
		if len(p.MACs) == 0 || slices.ContainsFunc(p.MACs, func(m MAC) bool { return !unicast(m) }) {
			return fmt.Errorf("port %s: a container has unicast MAC addresses only, and one at least", p.Name)
		}
		if p.Tag > maxTag {
			return fmt.Errorf("port %s: tag %d is above %d", p.Name, p.Tag, maxTag)
		}
		for _, a := range slices.Concat(p.Addrs, p.Taken, p.Lost) {
			if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.Is4In6() || a.Zone() != "" {
				return fmt.Errorf("port %s: %s is no address of a container", p.Name, a)
			}
		}
		return nil
	case Link, Fabric, Asking:
		return nil
	}
	return fmt.Errorf("port %s: unknown %s", p.Name, p.Role)
}

// maxTag is the highest VLAN of a frame.
const maxTag = 4094

func unicast(m MAC) bool { return m[0]&1 == 0 && m != MAC{} }
