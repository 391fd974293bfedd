package network

import (
	"encoding/binary"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evio/datapath/frame"
	"evio/datapath/packet"
	"evio/datapath/session"
	"evio/overlay"
)

// calls is a device that notes how many frames each call writes.
type calls struct {
	idle
	written []int
}

func (c *calls) WriteFrames(f []frame.Frame) (int, error) {
	c.written = append(c.written, len(f))
	return len(f), nil
}

// TestFramesOfPeersAreWrittenInRuns: what flows let in goes to the port in as few calls as
// possible, in order, and nothing else goes there.
func TestFramesOfPeersAreWrittenInRuns(t *testing.T) {
	n := bare(t)
	port := &calls{idle: "evl1"}
	l := &link{dev: port}
	n.accepted.set(map[overlay.MAC]*link{theirs: l, ours: l})
	good := frame.Frame{Data: unicast(t, theirs, ours)}
	lie := frame.Frame{Data: unicast(t, ours, theirs)} // flows let it in, the directory does not
	unknown := frame.Frame{Data: unicast(t, unknownMAC, ours)}
	group := frame.Frame{Data: unicast(t, theirs, packet.Broadcast)}
	for name, c := range map[string]struct {
		frames  []frame.Frame
		written []int
		first   int
		drops   uint64
	}{
		"a run":              {[]frame.Frame{good, good, good}, []int{3}, 0, 0},
		"none":               {nil, nil, 0, 0},
		"a lie first":        {[]frame.Frame{lie, good, good}, []int{2}, 1, 0},
		"in the middle":      {[]frame.Frame{good, lie, good, good}, []int{1, 2}, 1, 0},
		"and last":           {[]frame.Frame{good, good, unknown}, []int{2}, 1, 0},
		"nothing is right":   {[]frame.Frame{lie, unknown, lie}, nil, 3, 0},
		"a group and a runt": {[]frame.Frame{good, group, {Data: good.Data[:13]}, good}, []int{1, 1}, 0, 2},
	} {
		t.Run(name, func(t *testing.T) {
			port.written = nil
			n.drops.malformed.Store(0)
			first := 0
			n.split(table(), l, there, c.frames, func(frame.Frame) { first++ })
			if diff := cmp.Diff(c.written, port.written); diff != "" || first != c.first || n.drops.malformed.Load() != c.drops {
				t.Errorf("written in calls (-want +got):\n%s; %d first frames, %d malformed", diff, first, n.drops.malformed.Load())
			}
		})
	}
	n.split(table(), nil, there, []frame.Frame{good}, func(f frame.Frame) { // a peer without a link
		if &f.Data[0] != &good.Data[0] {
			t.Error("another frame")
		}
	})
}

// TestFramesOfPeersCostNoAllocation: the check of their origin and the write are for every frame.
func TestFramesOfPeersCostNoAllocation(t *testing.T) {
	n := bare(t)
	l := &link{dev: idle("evl1")}
	n.accepted.set(map[overlay.MAC]*link{theirs: l})
	known, frames := table(), []frame.Frame{{Data: unicast(t, theirs, ours)}, {Data: unicast(t, theirs, ours)}}
	if got := testing.AllocsPerRun(100, func() { n.split(known, l, there, frames, nil) }); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

// TestNewerSessionStays: a device that is opened again, as the host's switch may have it, does
// not bring back the session that a newer one has replaced meanwhile.
func TestNewerSessionStays(t *testing.T) {
	l := &link{dev: idle("evl1")}
	sessions := []*session.Session{new(session.Session), new(session.Session)}
	l.use(sessions[0])
	stop := make(chan struct{})
	var again sync.WaitGroup
	defer again.Wait()
	defer close(stop)
	again.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				l.follow()
			}
		}
	})
	for i := range 100_000 {
		newer := sessions[i%2]
		if l.use(newer); l.session.Load() != newer {
			t.Fatalf("after %d sessions an older one is back", i+1)
		}
	}
}

// merged is a super-frame of TCP over IPv4, with segments of 1,000 bytes.
func merged(t *testing.T, segments int) frame.Frame {
	t.Helper()
	const l4 = 34
	data := append(unicast(t, theirs, ours)[:12], make([]byte, l4+20-12+1000*segments)...)
	data[12], data[13], data[14], data[20], data[22], data[23], data[l4+12] = 8, 0, 0x45, 0x40, 64, 6, 5<<4
	binary.BigEndian.PutUint16(data[16:], uint16(len(data)-14))
	f := frame.Frame{Data: data, Partial: true, Start: l4, Offset: 16, Kind: frame.TCP4, Segment: 1000}
	if f.Segments() != segments {
		t.Fatalf("%+v", f)
	}
	return f
}

// TestSuperFramesWaitAsSegments: what waits for the directory is bounded in frames, and a
// super-frame counts as what it is on a wire. So a member cannot have 64 KiB wait in place of one
// frame.
func TestSuperFramesWaitAsSegments(t *testing.T) {
	n := bare(t)
	const segments, room = 40, 30
	var waiting []func()
	after := func(run func()) bool {
		if len(waiting) == room {
			return false
		}
		waiting = append(waiting, run)
		return true
	}
	f, bytes, seen := merged(t, segments), 0, 0
	n.later(f, after, func(f frame.Frame) {
		seen += f.Segments()
		bytes += len(f.Data)
		if f.Kind != frame.Single || !f.Partial || binary.BigEndian.Uint32(f.Data[38:]) != uint32(1000*(seen-1)) {
			t.Errorf("segment %d: %+v", seen, f)
		}
	})
	clear(f.Data) // its memory belongs to the session
	for _, run := range waiting {
		run()
	}
	if lost := n.drops.queueFull.Load(); seen != room || bytes != room*1054 || lost != segments-room {
		t.Errorf("%d segments of %d bytes waited, and %d were lost; want %d of %d and %d", seen, bytes, lost, room, room*1054, segments-room)
	}
}
