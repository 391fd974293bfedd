package network

import (
	"evio/datapath/ovs"
	"evio/datapath/tap"
	"evio/driver/network/device"
)

// linkQueue is how many frames and super-frames the kernel keeps for the reader of a link: as
// many as it keeps for the switch (datapath/ovs), so that a burst that gets into the bridge
// gets out of it, and some for whoever sends beside it.
const linkQueue = 1100

// offloads returns what the TAPs of links are to offload: what the operator lets them, and the
// switch knows.
func (n *network) offloads() tap.Offloads {
	known, _ := n.sw.Offloads(n.fabric.Name())
	return both(n.plane.offload, known)
}

// both returns what the operator lets a TAP offload and the switch knows. The operator's reason
// goes before the switch's.
func both(let tap.Offloads, known ovs.Offloads) tap.Offloads {
	o := tap.Offloads{
		Checksums: let.Checksums && known.TCP, TCP: let.TCP && known.TCP, UDP: let.UDP && known.UDP,
		Why: let.Why,
	}
	o.OneTag = o.Checksums && known.OneTag // of no account otherwise
	if o.Why == "" {
		o.Why = known.Why
	}
	return o
}

// followSwitch opens the TAPs of links again if the host's switch was started with other
// settings, or was not known when they were opened.
func (n *network) followSwitch() {
	now, known := n.sw.Offloads(n.fabric.Name())
	if !known {
		return
	}
	wanted := both(n.plane.offload, now)
	for _, l := range n.links.all() {
		if p, ok := l.dev.(*device.Port); ok {
			p.Follow(wanted)
		}
	}
}
