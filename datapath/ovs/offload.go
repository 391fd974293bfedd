package ovs

import (
	"fmt"

	"evio/datapath/netdev"
)

// Offloads is what frames may leave to a switch, from a port and to it.
type Offloads struct {
	TCP bool // super-frames of TCP, and the checksums of TCP and UDP
	UDP bool // super-frames of UDP
	// OneTag says that it looks behind one VLAN tag only: what is behind more must be finished.
	OneTag bool
	Why    string // half a sentence why one of them is not; empty: both are
}

// Offloads returns what frames may leave to the switch, and false if that is not known yet.
//
// A switch in the kernel does all. One in user space does what it reads in its settings when
// it starts (userspace-tso-enable of other_config), and says nowhere what that was. So this
// looks at the packet socket by which it reads a port, which must be one of the switch's
// already: with segmentation that gives frames with the kernel's header. No version in user
// space knows the segmentation of UDP.
func (s *Switch) Offloads(port string) (Offloads, bool) {
	if s.info.Datapath == DatapathSystem {
		return Offloads{TCP: true, UDP: true}, true
	}
	tcp := Offloads{TCP: true, OneTag: true, Why: "Open vSwitch in user space does not know the segmentation of UDP"}
	if s.info.Own {
		return tcp, true
	}
	reads, header, err := readers(port)
	switch {
	case err != nil:
		return Offloads{Why: fmt.Sprintf("it is not known what the host's Open vSwitch does: %v", err)}, false
	case !reads:
		return Offloads{Why: "the host's Open vSwitch does not read the ports yet"}, false
	case !header:
		return Offloads{Why: "the host's Open vSwitch was started without segmentation: set other_config:userspace-tso-enable=true in its table Open_vSwitch, and start it again"}, true
	default:
		return tcp, true
	}
}

// readers reports whether anybody reads a device by a packet socket, and whether anybody gets
// frames with the kernel's header.
func readers(name string) (reads, header bool, err error) {
	index, err := netdev.Index(name)
	if err != nil || index == 0 {
		return false, false, err
	}
	all, err := netdev.PacketSockets()
	for _, s := range all {
		if s.Index == index {
			reads, header = true, header || s.Header
		}
	}
	return reads, header, err
}
