package network

import (
	"evio/datapath/tap"
	"evio/driver/network/device"
)

// linkQueue is how many frames and super-frames the kernel keeps for the reader of a link: as
// many as it keeps for the switch (datapath/ovs), so that a burst that gets into the bridge
// gets out of it.
const linkQueue = 1000

// offloads returns what the TAPs of links are to offload: what the operator lets them, and the
// switch knows.
func (n *network) offloads() tap.Offloads {
	let := n.plane.offload
	known, _ := n.sw.Offloads(n.fabric.Name())
	return both(let, tap.Offloads{Checksums: known.TCP, TCP: known.TCP, UDP: known.UDP, Why: known.Why})
}

// both returns what is in both of two sets. The first one's reason goes before the other's.
func both(a, b tap.Offloads) tap.Offloads {
	o := tap.Offloads{Checksums: a.Checksums && b.Checksums, TCP: a.TCP && b.TCP, UDP: a.UDP && b.UDP, Why: a.Why}
	if o.Why == "" {
		o.Why = b.Why
	}
	return o
}

// followSwitch opens the TAPs of links again if the host's switch was started with other
// settings, or was not known when they were opened.
func (n *network) followSwitch() {
	if _, known := n.sw.Offloads(n.fabric.Name()); !known {
		return
	}
	for _, l := range n.links.all() {
		if p, ok := l.dev.(*device.Port); ok {
			p.Follow()
		}
	}
}
