package network

import (
	"cmp"
	"slices"

	"evio/datapath/tap"
	"evio/driver/status"
)

// taps describes the network's TAP devices.
func (n *network) taps() []status.TAP {
	list := []status.TAP{tapStatus(n.fabric, "")}
	for peer, l := range n.links.all() {
		list = append(list, tapStatus(l.dev, peer.String()))
	}
	slices.SortFunc(list, func(a, b status.TAP) int { return cmp.Compare(a.Device, b.Device) })
	return list
}

func tapStatus(d tap.Device, node string) status.TAP {
	s, o := d.Stats(), d.Offloads()
	return status.TAP{
		Device: d.Name(), Node: node,
		Offload: status.TAPOffload{Checksums: o.Checksums, TCP: o.TCP, UDP: o.UDP, Reason: o.Why},
		Reads:   s.Reads, ReadFrames: s.ReadFrames, ReadSegments: s.ReadSegments, ReadBytes: s.ReadBytes,
		Writes: s.Writes, WrittenFrames: s.WrittenFrames, WrittenSegments: s.WrittenSegments, WrittenBytes: s.WrittenBytes,
	}
}
