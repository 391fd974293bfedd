package overlay

import (
	"sync"
	"time"

	"evio/overlay/nodeid"
)

const (
	// maxFloods and maxFloodBytes bound the floods of one neighbour that wait: the bursts
	// of four origins.
	maxFloods     = 5000
	maxFloodBytes = 5 << 20
)

// floodQueues are the floods that wait to be sent or checked, in a queue for each
// neighbour that brought them and one for this node's own. They are taken in turn, one
// of each queue, and no two of one queue at the same time: a neighbour's stay in order,
// and one that brings many delays the others by one frame.
type floodQueues struct {
	mu     sync.Mutex
	filled *sync.Cond // ready has gained a queue, or all is closed
	of     map[nodeid.ID]*floodQueue
	ready  []*floodQueue // with frames, none of them taken; the one that waits longest first
	closed bool
}

// floodQueue is the queue of one neighbour. It is kept while it has frames, or one of them
// is taken.
type floodQueue struct {
	from   nodeid.ID
	frames []queuedFlood
	bytes  int
}

// queuedFlood is a frame, and when it came: limits are held against that, however long it
// has waited.
type queuedFlood struct {
	frame []byte
	at    time.Time
}

func newFloodQueues() *floodQueues {
	q := &floodQueues{of: map[nodeid.ID]*floodQueue{}}
	q.filled = sync.NewCond(&q.mu)
	return q
}

// put adds a frame, which it keeps, to the queue of a neighbour. It returns false when the
// queue is full or all are closed.
func (q *floodQueues) put(from nodeid.ID, frame []byte, now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	f := q.of[from]
	if q.closed || f != nil && (len(f.frames) >= maxFloods || f.bytes+len(frame) > maxFloodBytes) {
		return false
	}
	if f == nil {
		f = &floodQueue{from: from}
		q.of[from] = f
		q.ready = append(q.ready, f)
		q.filled.Signal()
	}
	f.frames = append(f.frames, queuedFlood{frame, now})
	f.bytes += len(frame)
	return true
}

// take waits for a frame. Until it is given back by done, no other of its queue is taken.
// It returns nil when the queues are closed.
func (q *floodQueues) take() (f *floodQueue, one queuedFlood) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.ready) == 0 && !q.closed {
		q.filled.Wait()
	}
	if q.closed {
		return nil, one
	}
	f, q.ready = q.ready[0], q.ready[1:]
	one, f.frames[0] = f.frames[0], queuedFlood{}
	f.frames, f.bytes = f.frames[1:], f.bytes-len(one.frame)
	return f, one
}

// done says that what was taken of a queue is dealt with.
func (q *floodQueues) done(f *floodQueue) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(f.frames) == 0 {
		delete(q.of, f.from)
		return
	}
	q.ready = append(q.ready, f)
	q.filled.Signal()
}

// close ends the wait of those who take, and drops what waits.
func (q *floodQueues) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed, q.ready = true, nil
	q.filled.Broadcast()
}
