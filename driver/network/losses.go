package network

import (
	"context"
	"sync"

	"evio/datapath/netdev"
	"evio/datapath/tap"
	"evio/driver/status"
)

// losses adds up what the kernel counts for devices, which come and go while the sums
// stay.
type losses struct {
	look       sync.Mutex // held from listing devices to taking what they count: an older look would seem to begin at zero
	mu         sync.Mutex
	taps       map[string]tap.Stats // as they last were, by device
	unsent     map[string]uint64    // as they last were, by device
	length     uint64               // frames too long or too short for a TAP
	refused    uint64               // frames that a TAP's device did not take
	offload    uint64               // frames that a TAP can neither leave unfinished nor finish
	queue      uint64               // frames for which a TAP's queue had no room
	containers uint64               // frames that a container's interface did not take
}

// since is by how much a counter rose; one that fell began at zero.
func since(now, last uint64) uint64 {
	if now < last {
		return now
	}
	return now - last
}

// take adds what came since the last time. Containers' interfaces are older than this
// process when it has adopted them, so what they counted before is left out.
func (l *losses) take(unsent map[string]uint64, taps []tap.Device, containers []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	newTaps, newUnsent := make(map[string]tap.Stats, len(taps)), make(map[string]uint64, len(taps)+len(containers))
	for _, d := range taps {
		name, now := d.Name(), d.Stats()
		l.length += since(now.BadLength, l.taps[name].BadLength)
		l.refused += since(now.Refused, l.taps[name].Refused)
		l.offload += since(now.BadOffload, l.taps[name].BadOffload)
		newTaps[name] = now
		if n, ok := unsent[name]; ok {
			l.queue += since(n, l.unsent[name])
			newUnsent[name] = n
		}
	}
	for _, name := range containers {
		n, ok := unsent[name]
		if !ok {
			continue
		}
		if last, known := l.unsent[name]; known {
			l.containers += since(n, last)
		}
		newUnsent[name] = n
	}
	l.taps, l.unsent = newTaps, newUnsent
}

// takeLosses looks at the network's devices.
func (n *network) takeLosses() {
	n.losses.look.Lock()
	defer n.losses.look.Unlock()
	taps := []tap.Device{n.fabric}
	for _, l := range n.links.all() {
		taps = append(taps, l.dev)
	}
	n.mu.Lock()
	var containers []string
	for _, e := range n.endpoints {
		if e.onBridge {
			containers = append(containers, e.spec.HostIf)
		}
	}
	n.mu.Unlock()
	unsent, err := netdev.Unsent()
	if err != nil {
		n.log.WithError(err).Debug("frames that devices did not send are not counted")
	}
	n.losses.take(unsent, taps, containers)
}

// addLosses puts into a network's drops what was lost in front of its bridge's flows, and
// at its devices.
func (n *network) addLosses(ctx context.Context, s *status.Network) {
	n.takeLosses()
	before, err := n.sw.Losses(ctx, n.bridge)
	if err != nil {
		n.log.WithError(err).Debug("frames that the switch did not read are not counted")
	}
	l := &n.losses
	l.mu.Lock()
	defer l.mu.Unlock()
	s.Drops["switch-queue-full"] = before.QueueFull
	s.Drops["switch-offload"] = before.Offload
	s.Drops["switch-too-long"] = before.TooLong
	s.Drops["tap-length"] = l.length
	s.Drops["tap-refused"] = l.refused
	s.Drops["tap-offload"] = l.offload
	s.Drops["tap-queue-full"] = l.queue
	s.Drops["container-refused"] = l.containers
	for name, count := range s.Drops {
		if count == 0 {
			delete(s.Drops, name)
		}
	}
}
