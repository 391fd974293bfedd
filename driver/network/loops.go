package network

import (
	"crypto/rand"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"evio/datapath/packet"
	"evio/driver/network/loop"
	"evio/driver/plane"
	"evio/overlay"
)

// loops looks for containers that lead an open network back into itself.
type loops struct {
	frames atomic.Uint64 // that containers sent to all
	mac    packet.MAC    // of probes

	mu    sync.Mutex
	watch *loop.Watch // nil: the network is not open
}

// startLoops begins to look for loops, in an open network only: in others a container
// sends nothing that it did not make itself.
func (n *network) startLoops() {
	if n.spec.Guard != plane.GuardOpen {
		return
	}
	n.loops.mac = nobodysMAC()
	n.loops.watch = loop.New(n.loops.mac, newLoopNumber)
	n.wg.Go(n.watchLoops)
}

// claimProbes has the network's node hold the MAC address of the probes, so that other
// engines take them.
func (n *network) claimProbes(node *overlay.Node) {
	if n.spec.Guard != plane.GuardOpen {
		return
	}
	if err := node.Claim(n.ctx, nil, n.loops.mac); err != nil && n.ctx.Err() == nil {
		n.log.WithError(err).Warn("loops that lead over other engines are not found")
	}
}

// nobodysMAC returns a random MAC address, locally administered and not of Docker's kind.
func nobodysMAC() (mac packet.MAC) {
	_, _ = rand.Read(mac[:]) // it never fails
	mac[0] = 0x06
	return mac
}

func newLoopNumber() (number packet.LoopNumber) {
	_, _ = rand.Read(number[:]) // it never fails
	return number
}

func (n *network) watchLoops() {
	tick := time.NewTicker(loop.Every)
	defer tick.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return
		case now := <-tick.C:
			n.lookForLoops(now)
		}
	}
}

// lookForLoops sends a probe if it is time for one, and ends what has been muted for long
// enough.
func (n *network) lookForLoops(now time.Time) {
	n.loops.mu.Lock()
	probe, freed := n.loops.watch.Tick(n.loops.frames.Load(), now)
	n.loops.mu.Unlock()
	for _, id := range freed {
		n.log.WithField("endpoint", short(id)).Info("the port of a container is not muted any more")
	}
	if len(freed) > 0 {
		n.switched.request()
	}
	if probe == nil {
		return
	}
	n.inject(probe)
	if node := n.currentNode(); node != nil {
		node.Flood(probe)
	}
}

// loopCame takes a frame that a container sent, and reports whether it is a probe for
// loops, which goes no further. An own one has come round: the container's port is muted.
func (n *network) loopCame(id string, frame []byte, now time.Time) bool {
	number, ok := packet.ParseLoopProbe(frame)
	if !ok {
		return false
	}
	var mute, own bool
	n.loops.mu.Lock()
	if n.loops.watch != nil {
		mute, own = n.loops.watch.Came(number, id, now)
	}
	n.loops.mu.Unlock()
	if !own {
		n.count(&n.drops.loopProbe)
	}
	if mute {
		n.log.WithField("endpoint", short(id)).Warnf("a container closes a loop through a bridge in it: its port is muted for %v", loop.MutedFor)
		n.switched.request()
	}
	return true
}

// looped reports whether a container is muted because of a loop.
func (n *network) looped(id string) bool {
	n.loops.mu.Lock()
	defer n.loops.mu.Unlock()
	if n.loops.watch == nil {
		return false
	}
	_, muted := n.loops.watch.Muted()[id]
	return muted
}

// forgetLoop ends what was said of a container that is gone.
func (n *network) forgetLoop(id string) {
	n.loops.mu.Lock()
	defer n.loops.mu.Unlock()
	if n.loops.watch != nil {
		n.loops.watch.Forget(id)
	}
}

// loopCount returns how often a container was muted.
func (n *network) loopCount() uint64 {
	n.loops.mu.Lock()
	defer n.loops.mu.Unlock()
	if n.loops.watch == nil {
		return 0
	}
	return n.loops.watch.Count()
}

// loopFaults returns a sentence for each container that is muted.
func (n *network) loopFaults() []string {
	muted := map[string]time.Time{}
	n.loops.mu.Lock()
	if n.loops.watch != nil {
		maps.Copy(muted, n.loops.watch.Muted())
	}
	n.loops.mu.Unlock()
	var out []string
	n.mu.Lock()
	defer n.mu.Unlock()
	for id, until := range muted {
		if e := n.endpoints[id]; e != nil {
			out = append(out, fmt.Sprintf("the container with %s closes a loop, because it and another container bridge to one place: take one of the two bridges away; its port is muted until %s, and again while the loop is there",
				calledAs(e.spec), until.UTC().Format(time.RFC3339)))
		}
	}
	slices.Sort(out)
	return out
}

// calledAs is what people know a container by: its address, or else its MAC address.
func calledAs(spec plane.EndpointSpec) string {
	if len(spec.Addrs) > 0 {
		return spec.Addrs[0].String()
	}
	return net.HardwareAddr(spec.MAC[:]).String()
}
