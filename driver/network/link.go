package network

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"sync"
	"sync/atomic"

	"evio/datapath/frame"
	"evio/datapath/packet"
	"evio/datapath/session"
	"evio/datapath/tap"
	"evio/driver/network/device"
	"evio/overlay"
	"evio/overlay/nodeid"
)

// link is a peer's port on the bridge and the session behind it, which a newer
// one may replace while the port stays.
type link struct {
	peer    nodeid.ID
	dev     tap.Device
	using   sync.Mutex // held to change session, and what it merges for dev
	session atomic.Pointer[session.Session]
	done    chan struct{} // closed when its reader has ended
}

// newLink opens the port and begins to carry what the bridge puts into it.
func newLink(n *network, peer nodeid.ID, s *session.Session) (*link, error) {
	l := &link{peer: peer, done: make(chan struct{})}
	dev, err := n.plane.openLink(device.PortConfig{
		Name: device.Name(device.LinkPrefix, n.plane.engine, n.spec.ID, peer.String()), MTU: n.spec.MTU,
		Mark: device.Mark(n.plane.engine, n.spec.ID, device.ForPeer, peer.String()), Log: n.log, Shield: n.sw.Shield,
		Again: func(lost bool) { n.links.again(l, lost) }, Queue: linkQueue, Offloads: n.offloads,
	})
	if err != nil {
		return nil, err
	}
	l.dev = dev
	l.use(s)
	go l.read(n)
	return l, nil
}

// use makes a session the one behind the port.
func (l *link) use(s *session.Session) {
	l.using.Lock()
	defer l.using.Unlock()
	l.session.Store(s)
	l.mergeLocked()
}

// follow has the session hand over what the port's device takes, after that was opened again.
func (l *link) follow() {
	l.using.Lock()
	defer l.using.Unlock()
	l.mergeLocked()
}

// mergeLocked has the session hand over segments in as large pieces as the port's device takes.
func (l *link) mergeLocked() {
	o := l.dev.Offloads()
	l.session.Load().Merge(frame.Kinds{TCP4: o.TCP, TCP6: o.TCP, UDP: o.UDP})
}

// openPort is device.OpenPort for what takes any device.
func openPort(c device.PortConfig) (tap.Device, error) {
	p, err := device.OpenPort(c)
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (l *link) close() error {
	err := l.dev.Close()
	<-l.done
	return err
}

// read carries frames from the bridge to the peer until the device is closed.
func (l *link) read(n *network) {
	defer close(l.done)
	var v frame.Vector
	for l.dev.ReadFrames(&v) == nil {
		if err := l.session.Load().SendFrames(v.Frames); err != nil {
			n.count(&n.drops.send)
		}
		v.Release()
	}
}

// links are the links to the peers that have a session.
type links struct {
	n *network

	mu sync.Mutex
	by map[nodeid.ID]*link
}

// get returns the link to a peer, nil if there is none.
func (ls *links) get(peer nodeid.ID) *link {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return ls.by[peer]
}

// all returns all links.
func (ls *links) all() map[nodeid.ID]*link {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return maps.Clone(ls.by)
}

// close closes all links. It waits for their readers.
func (ls *links) close() error {
	ls.mu.Lock()
	all := ls.by
	ls.by = map[nodeid.ID]*link{}
	ls.mu.Unlock()
	var err error
	for _, l := range all {
		err = errors.Join(err, l.close())
	}
	return err
}

// sendTo gives frames to the peer's session in place of its link port.
func (ls *links) sendTo(peer nodeid.ID, frames []frame.Frame) {
	n := ls.n
	l := ls.get(peer)
	if l == nil {
		n.countFrames(&n.drops.noSession, frames...)
		return
	}
	if err := l.session.Load().SendFrames(frames); err != nil {
		n.count(&n.drops.send)
	}
}

// receive takes data frames of a peer. Frames whose flow is installed go through
// the link port, where the bridge checks their source MAC; the first ones of a new
// address or of a new session go through the fabric port after the same check here.
func (ls *links) receive(peer nodeid.ID, frames []frame.Frame) {
	n := ls.n
	node := n.currentNode()
	l := ls.get(peer)
	if node == nil {
		n.countFrames(&n.drops.noSession, frames...)
		return
	}
	n.split(node.Table(), l, peer, frames, func(f frame.Frame) { ls.receiveFirst(node, peer, f) })
}

// split writes runs of frames whose flow is installed by the link port, and hands the others to
// first.
func (n *network) split(t *overlay.Table, l *link, peer nodeid.ID, frames []frame.Frame, first func(frame.Frame)) {
	next := 0 // of those that are to be written
	for i, f := range frames {
		whole := len(f.Data) >= packet.HeaderLen && !packet.IsMulticast(packet.Destination(f.Data))
		if whole && n.accepted.lets(packet.Source(f.Data), l) && n.frameFault(t, peer, f.Data).cause == nil {
			continue
		}
		l.write(n, frames[next:i])
		next = i + 1
		if !whole {
			n.countFrames(&n.drops.malformed, f)
			continue
		}
		first(f)
	}
	l.write(n, frames[next:])
}

// write puts frames into the bridge by the link port.
func (l *link) write(n *network, frames []frame.Frame) {
	if len(frames) == 0 {
		return
	}
	if taken, err := l.dev.WriteFrames(frames); err != nil {
		n.refused(err, &n.drops.linkWrite, frames[taken:]...)
	}
}

// receiveFirst takes a frame whose source the flows do not know yet, or that is not
// right by the directory as it is. The announcement that makes it right may be waiting
// in the node's queue: behind it the answer is final.
func (ls *links) receiveFirst(node *overlay.Node, peer nodeid.ID, f frame.Frame) {
	n := ls.n
	fault := n.frameFault(node.Table(), peer, f.Data)
	switch {
	case fault.cause == nil:
		n.injectFrame(f)
		return
	case fault.Final:
		n.countFrames(fault.cause, f)
		return
	}
	n.later(f, func(run func()) bool { return node.AfterPeer(peer, run) }, func(f frame.Frame) {
		if fault := n.frameFault(node.Table(), peer, f.Data); fault.cause != nil {
			n.countFrames(fault.cause, f)
			return
		}
		n.injectFrame(f)
	})
}

// later has a frame looked at again after what waits of its peer. A super-frame waits as its
// segments, since what may wait is bounded in frames.
func (n *network) later(f frame.Frame, after func(func()) bool, again func(frame.Frame)) {
	for _, segment := range apart(f) {
		if !after(func() { again(segment) }) {
			n.countFrames(&n.drops.queueFull, segment)
		}
	}
}

// apart returns copies of the frames that a frame is on a wire.
func apart(f frame.Frame) []frame.Frame {
	var c frame.Cutter
	l, ok := frame.Parse(f.Data)
	if f.Kind == frame.Single || !ok || !c.Begin(&f, l, len(f.Data)) {
		f.Data = bytes.Clone(f.Data)
		return []frame.Frame{f}
	}
	var segments []frame.Frame
	for more := true; more; {
		data := make([]byte, c.Longest())
		_, more = c.Next(data)
		segments = append(segments, frame.Frame{Data: data, Partial: true, Start: f.Start, Offset: f.Offset})
	}
	return segments
}

// up makes a session serve its peer.
func (ls *links) up(peer nodeid.ID, s *session.Session) {
	n := ls.n
	n.mu.Lock()
	closed := n.closed
	n.mu.Unlock()
	if closed {
		return
	}
	if l := ls.get(peer); l != nil {
		l.use(s)
		return
	}
	l, err := newLink(n, peer, s)
	if err != nil {
		n.log.WithField("peer", peer).WithError(err).Error("no link to a peer: its port could not be made")
		s.Close()
		return
	}
	ls.mu.Lock()
	ls.by[peer] = l
	ls.mu.Unlock()
	n.switched.request()
}

// down takes a peer's port off the bridge.
func (ls *links) down(peer nodeid.ID) {
	n := ls.n
	n.takeLosses() // its device's counters go with it
	ls.mu.Lock()
	l := ls.by[peer]
	delete(ls.by, peer)
	ls.mu.Unlock()
	if l == nil {
		return
	}
	if err := l.close(); err != nil && !errors.Is(err, os.ErrClosed) {
		n.log.WithField("peer", peer).WithError(err).Warn("link port closed with an error")
	}
	n.switched.request()
}

// again is called when the port of a link was opened again. Until its flows are
// installed, its frames are handled as first frames.
func (ls *links) again(l *link, lost bool) {
	l.follow()
	ls.n.accepted.forget(l)
	ls.n.portAgain(l.dev.Name(), lost)
}
