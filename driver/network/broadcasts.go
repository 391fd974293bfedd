package network

import (
	"net"
	"time"

	"evio/datapath/packet"
	"evio/overlay"
)

// stormEvery is how often the log names a container that floods more than its share.
const stormEvery = time.Minute

// broadcast floods a frame of a local container within that container's share, so that
// none keeps another's from the overlay. A container with MAC addresses of its own making
// shares one more with all others that have such.
func (n *network) broadcast(node *overlay.Node, frame []byte) {
	source := packet.Source(frame)
	n.mu.Lock()
	var of *endpoint
	for _, e := range n.endpoints {
		if e.spec.MAC == source {
			of = e
			break
		}
	}
	n.mu.Unlock()
	var sender overlay.MAC
	if of != nil {
		sender = of.spec.MAC
	}
	if node.FloodFrom(sender, frame) {
		return
	}
	if last, now := n.stormed[sender], time.Now(); now.Sub(last) >= stormEvery {
		if n.stormed == nil || len(n.stormed) > maxStormed {
			n.stormed = map[overlay.MAC]time.Time{}
		}
		n.stormed[sender] = now
		log := n.log.WithField("mac", net.HardwareAddr(source[:]))
		if of != nil {
			log = log.WithField("endpoint", short(of.spec.ID)).WithField("addresses", of.spec.Addrs)
		}
		log.Warn("a container sends more broadcast, multicast or frames to unknown addresses than its share: what is more stays at this site, so have it send less")
	}
}

// maxStormed bounds the containers whose last mention in the log is remembered.
const maxStormed = 1024
