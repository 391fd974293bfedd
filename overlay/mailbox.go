package overlay

import "sync"

// mailbox is the queue of a node's goroutine: functions to run there, in order.
// Lifecycle events always find room, because their number is bounded by what
// causes them; frames and other input of peers only up to a limit.
type mailbox struct {
	wake chan struct{} // has a value while there may be something to take

	mu     sync.Mutex
	queue  []func()
	closed bool
}

func newMailbox() *mailbox { return &mailbox{wake: make(chan struct{}, 1)} }

// put adds f; it is dropped once the mailbox is closed.
func (m *mailbox) put(f func()) bool { return m.add(f, 0) }

// offer adds f unless limit functions are waiting already.
func (m *mailbox) offer(f func(), limit int) bool { return m.add(f, limit) }

func (m *mailbox) add(f func(), limit int) bool {
	m.mu.Lock()
	if m.closed || (limit > 0 && len(m.queue) >= limit) {
		m.mu.Unlock()
		return false
	}
	m.queue = append(m.queue, f)
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
	return true
}

// take returns all that is waiting.
func (m *mailbox) take() []func() {
	m.mu.Lock()
	defer m.mu.Unlock()
	q := m.queue
	m.queue = nil
	return q
}

// close refuses what comes from now on and returns what was waiting.
func (m *mailbox) close() []func() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	q := m.queue
	m.queue = nil
	return q
}
