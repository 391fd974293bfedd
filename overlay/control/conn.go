package control

import (
	"errors"
	"fmt"
	"time"
)

const (
	// window is how many messages may be under way, and so how many the receiver
	// keeps when they overtake each other: the bitmap has a bit for each but the first.
	window = 64
	// flightMax bounds the payload under way; one message may always be.
	flightMax = 64 << 10
	// queueMax and queueBytesMax bound what waits to get under way.
	queueMax      = 4096
	queueBytesMax = 1 << 20
)

// Reasons for which Send refuses a message.
var (
	ErrFull    = errors.New("control messages wait for a slow peer: queue full")
	ErrTooLong = errors.New("control message too long")
)

// Stats counts since the Conn was made.
type Stats struct {
	Sent, Resent, Refused uint64 // messages
	Delivered, Duplicates uint64
	Overrun               uint64 // messages beyond the window, dropped to be sent again
	Skipped, Malformed    uint64 // frames
	Waiting               int    // messages not acknowledged, now
	RTT                   time.Duration
}

// Conn is one end of a control connection. Use New.
type Conn struct {
	// Sending. Messages base … base+len(flight)-1 are under way, those in queue
	// follow. An acknowledged message in the middle of flight is nil.
	base        uint64
	flight      []*outgoing
	flightBytes int
	queue       []Message
	queueBytes  int
	rtt         roundTrip

	// Receiving. All below next were delivered; early[i] is message next+1+i.
	next  uint64
	early [window - 1]*Message

	stats Stats
}

// outgoing is a message under way.
type outgoing struct {
	message     Message
	tries       uint8 // saturates
	first, last time.Time
	due         time.Time
}

// New returns one end of a new session.
func New() *Conn { return &Conn{rtt: newRoundTrip()} }

// Send takes a message, whose payload it copies, and returns the frames to send
// now: none if the message has to wait. When it returns an error it has taken
// nothing: ErrFull if the peer does not keep up, which the caller answers by
// trying later or by ending the session.
func (c *Conn) Send(typ Type, payload []byte, now time.Time) ([][]byte, error) {
	if len(payload) > MaxPayload {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLong, len(payload), MaxPayload)
	}
	if len(c.queue) >= queueMax || c.queueBytes+len(payload) > queueBytesMax {
		c.stats.Refused++
		return nil, ErrFull
	}
	c.queue = append(c.queue, Message{Type: typ, Payload: append([]byte{}, payload...)})
	c.queueBytes += len(payload)
	c.stats.Sent++
	return c.advance(now, nil), nil
}

// Receive takes a frame of the peer, which it does not keep. It returns the
// messages that are now complete and in order, and the frames to send. A frame
// with an error has changed nothing.
func (c *Conn) Receive(b []byte, now time.Time) ([]Message, [][]byte, error) {
	f, known, err := parse(b)
	if err == nil && known && f.next > c.base+uint64(len(c.flight)) {
		err = fmt.Errorf("%w: acknowledges message %d, which was not sent", ErrFrame, f.next)
	}
	switch {
	case err != nil:
		c.stats.Malformed++
		return nil, nil, err
	case !known:
		c.stats.Skipped++
		return nil, nil, nil
	}

	if f.kind == kindAck {
		c.measure(f.number, f.try, now)
	}
	c.acknowledged(f.next, f.bitmap)
	var messages []Message
	var out [][]byte
	if f.kind == kindMessage {
		messages = c.accept(f)
		out = append(out, c.ack(f).append(make([]byte, 0, echoSize)))
	}
	return messages, c.advance(now, out), nil
}

// Tick returns the frames that have to be sent again at now. Messages behind one that is
// sent again go with it if an answer could be there by now: what was lost together, as
// while the way was cut, arrives together, and the peer does not live with the half of
// it, such as that an address was given up and not that it was taken again.
func (c *Conn) Tick(now time.Time) [][]byte {
	var out [][]byte
	for i, o := range c.flight {
		if o == nil || now.Before(o.due) && (len(out) == 0 || now.Sub(o.last) < c.rtt.smoothed) {
			continue
		}
		c.stats.Resent++
		out = append(out, c.transmit(c.base+uint64(i), o, now))
	}
	return out
}

// NextTick returns the next time at which Tick is needed, zero for none.
func (c *Conn) NextTick() time.Time {
	var first time.Time
	for _, o := range c.flight {
		if o != nil && (first.IsZero() || o.due.Before(first)) {
			first = o.due
		}
	}
	return first
}

// Stats returns the counters.
func (c *Conn) Stats() Stats {
	s := c.stats
	s.RTT = c.rtt.smoothed
	s.Waiting = len(c.queue)
	for _, o := range c.flight {
		if o != nil {
			s.Waiting++
		}
	}
	return s
}

// advance moves messages from the queue into flight as far as the window allows.
func (c *Conn) advance(now time.Time, out [][]byte) [][]byte {
	for len(c.queue) > 0 && len(c.flight) < window {
		m := c.queue[0]
		if c.flightBytes > 0 && c.flightBytes+len(m.Payload) > flightMax {
			break
		}
		c.queue[0] = Message{}
		c.queue = c.queue[1:]
		c.queueBytes -= len(m.Payload)
		o := &outgoing{message: m, first: now}
		c.flight = append(c.flight, o)
		c.flightBytes += len(m.Payload)
		out = append(out, c.transmit(c.base+uint64(len(c.flight)-1), o, now))
	}
	return out
}

// transmit returns the frame of a message and sets the time of its repetition.
func (c *Conn) transmit(number uint64, o *outgoing, now time.Time) []byte {
	if o.tries < 255 {
		o.tries++
	}
	o.last, o.due = now, now.Add(c.rtt.timeout(o.tries))
	f := c.ack(frame{number: number, try: o.tries})
	f.kind, f.typ, f.body = kindMessage, o.message.Type, o.message.Payload
	return f.append(make([]byte, 0, headerSize+len(f.body)))
}

// ack returns an acknowledgement of all that was received, caused by f.
func (c *Conn) ack(f frame) frame {
	a := frame{kind: kindAck, next: c.next, number: f.number, try: f.try}
	for i, m := range c.early {
		if m != nil {
			a.bitmap |= 1 << i
		}
	}
	return a
}

// measure takes the round trip that an acknowledgement shows, if it is known
// which transmission it answers.
func (c *Conn) measure(number uint64, try uint8, now time.Time) {
	if number < c.base || number-c.base >= uint64(len(c.flight)) {
		return
	}
	switch o := c.flight[number-c.base]; {
	case o == nil:
	case try == 1:
		c.rtt.sample(now.Sub(o.first))
	case try == o.tries && try < 255:
		c.rtt.sample(now.Sub(o.last))
	}
}

// acknowledged forgets what has arrived: all below next and the bitmap's.
func (c *Conn) acknowledged(next, bitmap uint64) {
	for i, o := range c.flight {
		n := c.base + uint64(i)
		arrived := n < next || n > next && n-next-1 < window && bitmap>>(n-next-1)&1 == 1
		if o != nil && arrived {
			c.flightBytes -= len(o.message.Payload)
			c.flight[i] = nil
		}
	}
	for len(c.flight) > 0 && c.flight[0] == nil {
		c.flight = c.flight[1:]
		c.base++
	}
}

// accept takes a message and returns those that are now in order.
func (c *Conn) accept(f frame) []Message {
	ahead := f.number - c.next
	switch {
	case f.number < c.next || ahead > 0 && ahead < window && c.early[ahead-1] != nil:
		c.stats.Duplicates++
		return nil
	case ahead >= window:
		c.stats.Overrun++
		return nil
	}
	m := &Message{Type: f.typ, Payload: append([]byte{}, f.body...)}
	if ahead > 0 {
		c.early[ahead-1] = m
		return nil
	}
	var messages []Message
	for m != nil {
		messages = append(messages, *m)
		c.next++
		m = c.early[0]
		copy(c.early[:], c.early[1:])
		c.early[window-2] = nil
	}
	c.stats.Delivered += uint64(len(messages))
	return messages
}
