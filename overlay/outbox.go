package overlay

import (
	"time"

	"golang.org/x/time/rate"

	"evio/overlay/directory"
)

const (
	// sayPause is how long a key is left alone after its news was sent; what is new
	// meanwhile is sent together, as it is then.
	sayPause = 250 * time.Millisecond
	// sayAhead is how much of that may be saved up: a container that is restarted at
	// once does not wait.
	sayAhead = 3 * sayPause
	// sayBurst and sayRate limit what is sent to one peer of this node's claims. They leave
	// the peer, which counts in the same way, some room for what comes late and at once.
	sayBurst = recordBurst - 512
	sayRate  = recordRate * 3 / 4
)

// outbox is what is still to be sent to one peer of this node's claims. Whatever others
// do that makes this node speak, it sends no more than the peer takes.
type outbox struct {
	limit  *rate.Limiter
	said   uint64 // the highest sequence number sent to it: what is older costs it nothing
	queue  []directory.Key
	newest map[directory.Key][]byte    // of each key in the queue
	due    map[directory.Key]time.Time // when a key's next news is due, of those sent lately
}

func newOutbox() *outbox {
	return &outbox{
		limit:  rate.NewLimiter(sayRate, sayBurst),
		newest: map[directory.Key][]byte{}, due: map[directory.Key]time.Time{},
	}
}

// add queues records, in place of older ones of their keys.
func (o *outbox) add(records [][]byte) {
	for _, r := range records {
		k, _ := directory.Peek(r)
		if _, waits := o.newest[k]; !waits {
			o.queue = append(o.queue, k)
		}
		o.newest[k] = r
	}
}

// reset forgets what waits: the session begins anew with all there is.
func (o *outbox) reset() {
	o.queue = nil
	clear(o.newest)
	clear(o.due)
}

// take returns what may be sent now, in order. What it costs the peer to learn is
// counted once.
func (o *outbox) take(now time.Time) [][]byte {
	var records [][]byte
	left := o.queue[:0]
	for i, k := range o.queue {
		if now.Add(sayAhead).Before(o.due[k]) {
			left = append(left, k)
			continue
		}
		r := o.newest[k]
		_, sequence := directory.Peek(r)
		if sequence > o.said {
			if !o.limit.AllowN(now, 1) {
				left = append(left, o.queue[i:]...)
				break
			}
		}
		records = append(records, r)
		delete(o.newest, k)
		due := o.due[k]
		if due.Before(now) {
			due = now
		}
		o.due[k] = due.Add(sayPause)
	}
	clear(o.queue[len(left):])
	o.queue = left
	for _, r := range records { // behind the others: they are not in the order of their numbers
		_, sequence := directory.Peek(r)
		o.said = max(o.said, sequence)
	}
	if len(o.queue) == 0 {
		for k, at := range o.due {
			if !at.After(now) {
				delete(o.due, k)
			}
		}
	}
	return records
}
