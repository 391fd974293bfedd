package network

import "sync/atomic"

// drops counts frames that a network did not carry, by cause.
type drops struct {
	malformed   atomic.Uint64 // from a peer: too short, or nothing that a container may send
	notOwner    atomic.Uint64 // from a peer: the source MAC is not that node's
	notHolder   atomic.Uint64 // from a peer: ARP or neighbour discovery for an address or MAC that is not that node's
	role        atomic.Uint64 // from a peer: of a router or a DHCP server
	queueFull   atomic.Uint64 // from a peer: a first frame while the node's queue was full
	noSession   atomic.Uint64 // to or from a peer without an established session
	send        atomic.Uint64 // the session refused it
	linkWrite   atomic.Uint64 // the link port refused it
	fabricWrite atomic.Uint64 // the fabric port refused it
}

func (n *network) count(c *atomic.Uint64) { c.Add(1) }

// byCause returns the counters that are not zero, by the names that docs use.
func (d *drops) byCause() map[string]uint64 {
	all := map[string]uint64{
		"malformed": d.malformed.Load(), "source-not-owned": d.notOwner.Load(), "address-not-owned": d.notHolder.Load(), "router-or-dhcp": d.role.Load(),
		"queue-full": d.queueFull.Load(),
		"no-session": d.noSession.Load(), "send": d.send.Load(), "link-write": d.linkWrite.Load(), "fabric-write": d.fabricWrite.Load(),
	}
	for k, v := range all {
		if v == 0 {
			delete(all, k)
		}
	}
	return all
}
