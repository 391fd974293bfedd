package network

import (
	"context"
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
	n      *network
	frames atomic.Uint64 // that containers sent to all
	mac    packet.MAC    // of probes

	mu    sync.Mutex
	watch *loop.Watch // nil: the network is not open
}

// start begins to look for loops, in an open network only: in others a container
// sends nothing that it did not make itself.
func (l *loops) start(ctx context.Context) {
	if l.n.spec.Guard != plane.GuardOpen {
		return
	}
	l.mac = nobodysMAC()
	l.watch = loop.New(l.mac, newLoopNumber)
	l.n.group.begin(ctx, l.run)
}

// claim has the network's node hold the MAC address of the probes, so that other
// engines take them.
func (l *loops) claim(ctx context.Context, node *overlay.Node) {
	if l.n.spec.Guard != plane.GuardOpen {
		return
	}
	if err := node.Claim(ctx, nil, l.mac); err != nil && ctx.Err() == nil {
		l.n.log.WithError(err).Warn("loops that lead over other engines are not found")
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

func (l *loops) run(ctx context.Context) {
	tick := time.NewTicker(loop.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			l.tick(now)
		}
	}
}

// tick sends a probe if it is time for one, and ends what has been muted for long
// enough.
func (l *loops) tick(now time.Time) {
	l.mu.Lock()
	probe, freed := l.watch.Tick(l.frames.Load(), now)
	l.mu.Unlock()
	for _, id := range freed {
		l.n.log.WithField("endpoint", short(id)).Info("the port of a container is not muted any more")
	}
	if len(freed) > 0 {
		l.n.switched.request()
	}
	if probe == nil {
		return
	}
	l.n.inject(probe)
	if node := l.n.currentNode(); node != nil {
		node.Flood(probe)
	}
}

// came takes a frame that a container sent, and reports whether it is a probe for
// loops, which goes no further. An own one has come round: the container's port is muted.
func (l *loops) came(id string, frame []byte, now time.Time) bool {
	number, ok := packet.ParseLoopProbe(frame)
	if !ok {
		return false
	}
	var mute, own bool
	l.mu.Lock()
	if l.watch != nil {
		mute, own = l.watch.Came(number, id, now)
	}
	l.mu.Unlock()
	if !own {
		l.n.count(&l.n.drops.loopProbe)
	}
	if mute {
		l.n.log.WithField("endpoint", short(id)).Warnf("a container closes a loop through a bridge in it: its port is muted for %v", loop.MutedFor)
		l.n.switched.request()
	}
	return true
}

// muted reports whether a container is muted because of a loop.
func (l *loops) muted(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watch == nil {
		return false
	}
	_, muted := l.watch.Muted()[id]
	return muted
}

// forget ends what was said of a container that is gone.
func (l *loops) forget(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watch != nil {
		l.watch.Forget(id)
	}
}

// count returns how often a container was muted.
func (l *loops) count() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watch == nil {
		return 0
	}
	return l.watch.Count()
}

// faults returns a sentence for each container that is muted.
func (l *loops) faults() []string {
	muted := map[string]time.Time{}
	l.mu.Lock()
	if l.watch != nil {
		maps.Copy(muted, l.watch.Muted())
	}
	l.mu.Unlock()
	var out []string
	l.n.mu.Lock()
	defer l.n.mu.Unlock()
	for id, until := range muted {
		if e := l.n.endpoints[id]; e != nil {
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
