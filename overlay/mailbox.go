package overlay

import (
	"context"
	"sync"

	"evio/overlay/nodeid"
)

// source is who causes work of a node's goroutine. Each has a queue of its own.
type source struct {
	kind sourceKind
	peer nodeid.ID // of a peer, or whose account envelopes come from
}

type sourceKind uint8

const (
	ofEngine     sourceKind = iota // Docker's calls and what this process asks
	ofContainers                   // what containers take by themselves
	ofEnvelopes                    // what the signalling services bring
	ofPeer                         // what a peer's sessions bring
)

func from(peer nodeid.ID) source { return source{ofPeer, peer} }

// mailbox is what waits for a node's goroutine: functions to run there. Those of one
// source stay in order; the sources take turns, one function of each, so that nobody's
// input waits for all of another's. Frames wait behind the messages of their source, and
// have every maxAhead-th turn at least.
//
// Lifecycle events always find room, because their number is bounded by what causes
// them; frames and other input of peers only up to a limit.
type mailbox struct {
	wake chan struct{} // has a value while there may be something to take

	mu     sync.Mutex
	of     map[source]*queue
	soon   []*queue // with messages, the one whose turn is next first
	later  []*queue // with frames; those that have messages as well are passed over
	ahead  int      // turns of messages since the last one of a frame
	closed bool
}

// maxAhead is how many messages are taken before a frame that waits.
const maxAhead = 16

// queue is what one source has waiting. It is kept while there is something.
type queue struct {
	source  source
	next    func() // what is left to do for a message that was taken in part
	soon    []task // messages and events
	later   []func()
	offered int // of soon, what counts against the limit
	inLater bool
}

// talks reports whether messages wait.
func (q *queue) talks() bool { return q.next != nil || len(q.soon) > 0 }

func (q *queue) takeSoon() func() {
	if f := q.next; f != nil {
		q.next = nil
		return f
	}
	t := q.soon[0]
	q.soon[0], q.soon = task{}, q.soon[1:]
	if t.offered {
		q.offered--
	}
	return t.run
}

type task struct {
	run     func()
	offered bool
}

func newMailbox() *mailbox {
	return &mailbox{wake: make(chan struct{}, 1), of: map[source]*queue{}}
}

// put adds what this process asks for; it is dropped once the mailbox is closed.
func (m *mailbox) put(f func()) bool { return m.post(source{kind: ofEngine}, f) }

// post adds f, which finds room also among what was offered.
func (m *mailbox) post(s source, f func()) bool {
	return m.add(s, func(q *queue) bool { q.soon = append(q.soon, task{run: f}); return true })
}

// offer adds f unless limit functions of this source are waiting already.
func (m *mailbox) offer(s source, f func(), limit int) bool {
	return m.add(s, func(q *queue) bool {
		if q.offered >= limit {
			return false
		}
		q.offered++
		q.soon = append(q.soon, task{f, true})
		return true
	})
}

// next makes f the next thing that its source does. It is called in a function of that source.
func (m *mailbox) next(s source, f func()) {
	m.add(s, func(q *queue) bool { q.next = f; return true })
}

// after adds f behind the messages of its source, unless limit functions wait so.
func (m *mailbox) after(s source, f func(), limit int) bool {
	return m.add(s, func(q *queue) bool {
		if len(q.later) >= limit {
			return false
		}
		q.later = append(q.later, f)
		return true
	})
}

func (m *mailbox) add(s source, to func(*queue) bool) bool {
	m.mu.Lock()
	q := m.of[s]
	if q == nil {
		q = &queue{source: s}
	}
	waited := q.talks()
	if m.closed || !to(q) {
		m.mu.Unlock()
		return false
	}
	m.of[s] = q
	if !waited && q.talks() {
		m.soon = append(m.soon, q)
	}
	m.line(q)
	m.mu.Unlock()
	m.rouse()
	return true
}

// line puts a queue whose frames may be taken in line for that.
func (m *mailbox) line(q *queue) {
	if len(q.later) > 0 && !q.talks() && !q.inLater {
		q.inLater = true
		m.later = append(m.later, q)
	}
}

func (m *mailbox) rouse() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// run runs up to most functions, and has wake say if more may wait.
func (m *mailbox) run(ctx context.Context, most int) {
	for range most {
		f := m.take()
		if f == nil || ctx.Err() != nil {
			return
		}
		f()
	}
	m.rouse()
}

// take returns the next function, nil for none.
func (m *mailbox) take() func() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.soon) == 0 || m.ahead >= maxAhead {
		if f := m.takeLater(); f != nil {
			return f
		}
	}
	if len(m.soon) == 0 {
		return nil
	}
	var q *queue
	q, m.soon = m.soon[0], m.soon[1:]
	f := q.takeSoon()
	if q.talks() {
		m.soon = append(m.soon, q)
	}
	m.ahead++
	m.line(q)
	m.forget(q)
	return f
}

func (m *mailbox) takeLater() func() {
	m.ahead = 0
	for len(m.later) > 0 {
		var q *queue
		q, m.later = m.later[0], m.later[1:]
		q.inLater = false
		if q.talks() {
			continue // it is in line again when these are taken
		}
		f := q.later[0]
		q.later[0], q.later = nil, q.later[1:]
		m.line(q)
		m.forget(q)
		return f
	}
	return nil
}

func (m *mailbox) forget(q *queue) {
	if !q.talks() && len(q.later) == 0 {
		delete(m.of, q.source)
	}
}

// close refuses what comes from now on and drops what was waiting.
func (m *mailbox) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed, m.of, m.soon, m.later = true, nil, nil, nil
}
