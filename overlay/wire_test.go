package overlay

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"evio/overlay/nodeid"
)

var (
	errPeerClosed = errors.New("peer has closed the session")
	errPeerDead   = errors.New("peer does not answer")
	errTimeout    = errors.New("no path and keys in time")
	errNoSession  = errors.New("session is not established")
)

// Times of the wire, like those of real sessions.
const (
	wireGather  = 50 * time.Millisecond
	wireDelay   = 10 * time.Millisecond // one way
	wireFurther = 3 * time.Second       // until a session finds further parameters
	wireTimeout = 15 * time.Second
	wireDead    = 3 * time.Second
)

// wire is the network between the nodes of a test: sessions in memory that are
// established when both ends were connected with each other's parameters and equal
// bindings.
type wire struct {
	mu       sync.Mutex
	last     uint64
	sessions map[uint64]*link
	cut      map[[2]nodeid.ID]bool
	loss     float64
	relayed  bool  // sessions get established only with parameters that they find late
	refused  error // what Connect answers, nil: it depends
	timeout  error // how sessions that are not established in time end
	rand     *rand.Rand
	opened   map[nodeid.ID]int
}

func newWire(seed uint64) *wire {
	return &wire{
		timeout: errTimeout, sessions: map[uint64]*link{}, cut: map[[2]nodeid.ID]bool{}, opened: map[nodeid.ID]int{},
		rand: rand.New(rand.NewPCG(seed, 1)),
	}
}

// port is one node's access to the wire; it implements Sessions.
type port struct {
	wire *wire
	self nodeid.ID
}

// link is one session; the fields behind wire.mu are guarded by it.
type link struct {
	wire         *wire
	number       uint64
	local, peer  nodeid.ID
	events       SessionEvents
	queue        *schedule
	remote       uint64
	binding      [32]byte
	connected    bool
	established  bool
	closed       bool
	astray       bool // what it sends does not arrive
	relayed      bool // it has been told of what its peer has found late
	stopTimeout  func() bool
	stopLiveness func() bool
}

func (p port) Open(peer nodeid.ID, _ ed25519.PublicKey, events SessionEvents) (Session, error) {
	w := p.wire
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last++
	w.opened[p.self]++
	l := &link{wire: w, number: w.last, local: p.self, peer: peer, events: events, queue: newSchedule()}
	w.sessions[l.number] = l
	l.queue.after(wireGather, func() { events.Parameters(binary.BigEndian.AppendUint64(nil, l.number)) })
	if w.relayed {
		l.queue.after(wireGather+wireFurther, func() { events.Parameters(append(binary.BigEndian.AppendUint64(nil, l.number), 1)) })
	}
	return l, nil
}

func (l *link) Connect(parameters []byte, binding [32]byte) error {
	w := l.wire
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case len(parameters) != 8 && (len(parameters) != 9 || parameters[8] != 1):
		return errors.New("malformed parameters")
	case l.closed:
		return ErrClosed
	case l.established:
		return ErrEstablished
	case w.refused != nil:
		return w.refused
	}
	l.remote, l.binding, l.connected, l.relayed = binary.BigEndian.Uint64(parameters), binding, true, len(parameters) == 9
	if l.stopTimeout != nil {
		l.stopTimeout()
	}
	reason := w.timeout
	l.stopTimeout = time.AfterFunc(wireTimeout, func() { l.end(reason) }).Stop
	r := w.sessions[l.remote]
	if r == nil || !r.connected || r.closed || r.remote != l.number || r.binding != binding || w.cutLocked(l) ||
		w.relayed && (!l.relayed || !r.relayed) {
		return nil
	}
	for _, s := range []*link{l, r} {
		s.established = true
		s.stopTimeout()
		s.queue.after(2*wireDelay, s.events.Established)
	}
	return nil
}

func (l *link) SendControl(frames [][]byte) error { return l.send(frames, l.controlAt) }
func (l *link) SendFlood(frames [][]byte) error   { return l.send(frames, l.floodAt) }

func (l *link) controlAt(r *link, f [][]byte) { r.events.Control(f) }
func (l *link) floodAt(r *link, f [][]byte)   { r.events.Flood(f) }

func (l *link) send(frames [][]byte, arrive func(*link, [][]byte)) error {
	w := l.wire
	w.mu.Lock()
	defer w.mu.Unlock()
	if !l.established || l.closed {
		return errNoSession
	}
	r := w.sessions[l.remote]
	if r == nil || l.astray || w.cutLocked(l) {
		return nil
	}
	for _, f := range frames {
		if w.rand.Float64() < w.loss {
			continue
		}
		held := slices.Clone(f)
		r.queue.after(wireDelay, func() {
			arrive(r, [][]byte{held})
			clear(held) // as a reader that uses its buffer again
		})
	}
	return nil
}

func (l *link) Close() { l.end(ErrClosed) }

// end closes one end; the other hears of it unless the wire is cut.
func (l *link) end(reason error) {
	w := l.wire
	w.mu.Lock()
	if l.closed {
		w.mu.Unlock()
		return
	}
	l.closed = true
	if l.stopTimeout != nil {
		l.stopTimeout()
	}
	if l.stopLiveness != nil {
		l.stopLiveness()
	}
	delete(w.sessions, l.number)
	r := w.sessions[l.remote]
	told := l.established && r != nil && r.established && r.remote == l.number && !l.astray && !w.cutLocked(l)
	w.mu.Unlock()
	l.queue.last(func() { l.events.Closed(reason) })
	if told && !errors.Is(reason, errPeerClosed) {
		r.queue.after(wireDelay, func() { r.end(errPeerClosed) })
	} else if r != nil && r.established && r.remote == l.number {
		r.queue.after(wireDead, func() { r.end(errPeerDead) })
	}
}

func pairOf(a, b nodeid.ID) [2]nodeid.ID {
	if nodeid.Compare(a, b) > 0 {
		a, b = b, a
	}
	return [2]nodeid.ID{a, b}
}

func (w *wire) cutLocked(l *link) bool { return w.cut[pairOf(l.local, l.peer)] }

// setCut cuts or mends the way between two nodes. Sessions that are still cut 3 s
// later die.
func (w *wire) setCut(a, b nodeid.ID, cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut[pairOf(a, b)] = cut
	for _, l := range w.sessions {
		if pairOf(l.local, l.peer) != pairOf(a, b) || !l.established {
			continue
		}
		if l.stopLiveness != nil {
			l.stopLiveness()
		}
		if cut {
			l.stopLiveness = time.AfterFunc(wireDead, func() { l.end(errPeerDead) }).Stop
		}
	}
}

// renumber gives a node another address: the sessions that it has die 3 s later, at the
// other end a little after that; those that it opens from now on are not concerned.
func (w *wire) renumber(id nodeid.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.sessions {
		if l.local != id && l.peer != id {
			continue
		}
		l.astray = true
		if l.established {
			dead := wireDead
			if l.peer == id {
				dead += 700 * time.Millisecond
			}
			l.stopLiveness = time.AfterFunc(dead, func() { l.end(errPeerDead) }).Stop
		}
	}
}

func (w *wire) setLoss(p float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.loss = p
}

// between returns the established sessions that a has with b.
func (w *wire) between(a, b nodeid.ID) []*link {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []*link
	for _, l := range w.sessions {
		if l.local == a && l.peer == b && l.established {
			all = append(all, l)
		}
	}
	return all
}

// open returns how many sessions there are.
func (w *wire) open() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.sessions)
}

// openedBy returns how many sessions a node has ever opened.
func (w *wire) openedBy(id nodeid.ID) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.opened[id]
}

// schedule calls functions one after another, each at its time, in the order in
// which they were given.
type schedule struct {
	mu    sync.Mutex
	queue []timed
	ended bool
	wake  chan struct{} // capacity 1
}

type timed struct {
	at   time.Time
	call func()
}

func newSchedule() *schedule {
	s := &schedule{wake: make(chan struct{}, 1)}
	go s.run() // ended by last
	return s
}

func (s *schedule) after(d time.Duration, f func()) {
	s.mu.Lock()
	if !s.ended {
		s.queue = append(s.queue, timed{time.Now().Add(d), f})
	}
	s.mu.Unlock()
	s.signal()
}

// last drops what waits, calls f and ends.
func (s *schedule) last(f func()) {
	s.mu.Lock()
	if !s.ended {
		s.ended = true
		s.queue = []timed{{call: f}}
	}
	s.mu.Unlock()
	s.signal()
}

func (s *schedule) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *schedule) run() {
	for {
		s.mu.Lock()
		var head timed
		if len(s.queue) > 0 {
			head = s.queue[0]
		}
		due := head.call != nil && !time.Now().Before(head.at)
		ended := s.ended
		if due {
			s.queue = s.queue[1:]
		}
		s.mu.Unlock()
		switch {
		case due:
			head.call()
			if ended && head.at.IsZero() {
				return
			}
		case head.call != nil:
			select {
			case <-time.After(time.Until(head.at)):
			case <-s.wake:
			}
		default:
			<-s.wake
		}
	}
}
