// Package loop finds containers that lead a network back into itself. In an open network
// a container may bridge. Two of them that bridge to one place make a loop, in which
// every frame to all goes round for ever.
//
// It is a pure core: how many frames containers sent to all, probes that came back, and
// time go in; probes to send and ports to mute come out. A probe is delivered to every
// container of the overlay. A container's port from which an own probe comes back leads
// back into the network. Nothing else proves that, so much traffic alone mutes
// nobody: it only brings the next probe forward.
package loop

import (
	"slices"
	"time"

	"evio/datapath/packet"
)

const (
	// Every is how often a core's driver calls Tick.
	Every = 250 * time.Millisecond
	// MutedFor is how long the port of a container is muted.
	MutedFor = time.Minute

	// probeEvery is how often loops are looked for while containers send to all, and
	// probeSoon while they send busyFrames or more within one tick.
	probeEvery = 5 * time.Second
	probeSoon  = 500 * time.Millisecond
	busyFrames = 32
	// probeLife is how long a probe may travel.
	probeLife = 5 * time.Second
	// muteTakes is how long after a muting, which takes time, no probe is sent: it would
	// come back once more, and mute the other end of the same loop.
	muteTakes = time.Second
)

// Watch looks for loops in one network. Its methods must not be called at once.
type Watch struct {
	from   packet.MAC
	number func() packet.LoopNumber

	sent   []probe
	last   time.Time // when the last probe was sent
	seen   uint64    // frames to all, at the last tick
	probed uint64    // frames to all, at the last probe
	quiet  time.Time // no probe is sent before
	soon   bool      // a port is not muted any more: look at once whether it still leads round
	muted  map[string]time.Time
	count  uint64
}

type probe struct {
	number packet.LoopNumber
	at     time.Time
}

// New returns a Watch whose probes come from a MAC address of nobody's, and whose numbers
// nobody can guess.
func New(from packet.MAC, number func() packet.LoopNumber) *Watch {
	return &Watch{from: from, number: number, muted: map[string]time.Time{}}
}

// Tick takes how many frames containers here have sent to all so far. It returns a probe
// to deliver to all containers of the overlay, if it is time for one, and the ports that
// are no longer muted.
func (w *Watch) Tick(frames uint64, now time.Time) (frame []byte, freed []string) {
	for port, until := range w.muted {
		if !now.Before(until) {
			delete(w.muted, port)
			freed = append(freed, port)
			w.soon = true
		}
	}
	slices.Sort(freed)
	wait := probeEvery
	if frames-w.seen >= busyFrames {
		wait = probeSoon
	}
	w.seen = frames
	due := w.soon && len(freed) == 0 || frames != w.probed && now.Sub(w.last) >= wait
	if !due || now.Before(w.quiet) {
		return nil, freed
	}
	w.soon, w.last, w.probed = false, now, frames
	w.sent = slices.DeleteFunc(w.sent, func(p probe) bool { return now.Sub(p.at) >= probeLife })
	p := probe{w.number(), now}
	w.sent = append(w.sent, p)
	return packet.LoopProbe(nil, w.from, p.number), freed
}

// Came takes a probe that came by the port of a container, and reports whether the port
// is to be muted now. Own probes count only: they were delivered here, and to no sender.
func (w *Watch) Came(number packet.LoopNumber, port string, now time.Time) (mute, own bool) {
	i := slices.IndexFunc(w.sent, func(p probe) bool { return p.number == number && now.Sub(p.at) < probeLife })
	if i < 0 {
		return false, false
	}
	if _, already := w.muted[port]; already {
		return false, true
	}
	// The same loop brings this probe, and those before, back by its other end too.
	w.sent = nil
	w.quiet = now.Add(muteTakes)
	w.muted[port] = now.Add(MutedFor)
	w.count++
	return true, true
}

// Forget forgets a port, whose container is gone.
func (w *Watch) Forget(port string) { delete(w.muted, port) }

// Muted returns until when each port is muted that is.
func (w *Watch) Muted() map[string]time.Time { return w.muted }

// Count returns how often a port was muted.
func (w *Watch) Count() uint64 { return w.count }
