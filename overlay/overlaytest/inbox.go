package overlaytest

import "sync"

// inbox runs functions one after another on a goroutine of its own.
type inbox struct {
	wake chan struct{} // capacity 1
	done chan struct{}

	mu     sync.Mutex
	queue  []func()
	closed bool
}

func newInbox() *inbox {
	i := &inbox{wake: make(chan struct{}, 1), done: make(chan struct{})}
	go i.run() // ended by close
	return i
}

func (i *inbox) put(f func()) {
	i.mu.Lock()
	i.queue = append(i.queue, f)
	i.mu.Unlock()
	i.signal()
}

func (i *inbox) close() {
	i.mu.Lock()
	i.closed = true
	i.mu.Unlock()
	i.signal()
	<-i.done
}

func (i *inbox) signal() {
	select {
	case i.wake <- struct{}{}:
	default:
	}
}

func (i *inbox) run() {
	defer close(i.done)
	for range i.wake {
		i.mu.Lock()
		queue, closed := i.queue, i.closed
		i.queue = nil
		i.mu.Unlock()
		for _, f := range queue {
			f()
		}
		if closed {
			return
		}
	}
}
