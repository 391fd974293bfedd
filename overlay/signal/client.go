package signal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
)

// Client is one account's session, or the attempts at one.
type Client struct {
	cfg     Config
	handler Handler
	log     *logrus.Entry
	account accountConfig

	offered Offer // the best so far, of this process

	running  atomic.Bool
	announce chan struct{} // capacity 1: the presence must be sent (again)
	check    chan struct{} // capacity 1: the connection is in doubt

	mu        sync.Mutex
	anew      context.CancelCauseFunc // ends the connection, the login or the wait under way
	resting   bool                    // a server has refused the login, and the wait is for its sake
	extension []byte
	rooms     map[string]string // how a room is, as the log has it
	weak      *weakOffer        // why the last attempt was given up, if that is why
	unread    error             // of Offers, at the last login
	unkept    error             // of Offers: what it could not store
	session   *session          // nil while not connected
	status    Status
}

// Causes in Status.Ignored.
const (
	ignoredEarly     = "before-login"
	ignoredReply     = "unexpected-reply"
	ignoredRequest   = "unknown-request"
	ignoredPush      = "foreign-roster-push"
	ignoredMessage   = "not-our-message"
	ignoredType      = "message-type"
	ignoredPresence  = "presence-type"
	ignoredSubscribe = "subscription-of-stranger"
	ignoredAddress   = "address"
	ignoredPayload   = "payload"
	ignoredElement   = "unknown-element"
	ignoredBacklog   = "reply-dropped"
	ignoredExcess    = "oversize"
)

// Run keeps the session up until ctx ends and returns ctx's error. It logs why a
// connection failed and what to do, waits, and tries again, for ever.
func (c *Client) Run(ctx context.Context) error {
	if !c.running.CompareAndSwap(false, true) {
		return errRunsAlready
	}
	defer c.running.Store(false)
	var w waits
	for ctx.Err() == nil {
		c.attempt(ctx, &w)
	}
	return ctx.Err()
}

// attempt is one connection and the wait after it. Reconnect ends both; a connection
// that a check has found dead is followed by the next one at once.
func (c *Client) attempt(ctx context.Context, w *waits) {
	ctx, anew := context.WithCancelCause(ctx)
	defer anew(nil)
	c.mu.Lock()
	c.anew, c.resting = anew, false
	c.mu.Unlock()
	stood, err := c.runOnce(ctx)
	if cause := context.Cause(ctx); cause != nil {
		if errors.Is(cause, errMoved) {
			c.log.WithError(cause).Info("XMPP session restarts")
			c.setLastError(cause)
		}
		w.forget(stood)
		return
	}
	c.setLastError(err)
	if errors.Is(err, errUnanswered) {
		c.log.WithError(err).Warn("no XMPP session, next attempt at once")
		return
	}
	c.mu.Lock()
	c.resting = refused(err)
	c.mu.Unlock()
	wait := w.next(stood, refused(err), rand.Float64()) //nolint:gosec // spreads load, guards nothing
	c.log.WithError(err).Warnf("no XMPP session, next attempt in %v", pause(wait))
	select {
	case <-ctx.Done():
		w.forget(stood)
	case <-time.After(wait):
	}
}

// Check finds out whether the connection still works: if the server does not answer
// a ping within 3 s, a new connection is made at once. Within 5 s of the last check
// it does nothing, as while there is no connection.
func (c *Client) Check() {
	select {
	case c.check <- struct{}{}:
	default: // a check is due already
	}
}

// Reconnect gives up the connection, or the attempt at one, for a new one at once:
// this machine's addresses have changed.
func (c *Client) Reconnect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.anew != nil {
		c.anew(errMoved)
	}
}

// NamesChanged says that the host resolves names in another way than before. An attempt
// under way or a wait for the next one ends, and a new attempt is made at once; a session
// that is up stays, and so does the wait after a refused login.
func (c *Client) NamesChanged() { c.retry(errRenamed) }

// ClockSet says that wall time was set, by which the server's certificate is judged. It
// does what NamesChanged does.
func (c *Client) ClockSet() { c.retry(errClockSet) }

func (c *Client) retry(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.anew != nil && c.session == nil && !c.resting {
		c.anew(cause)
	}
}

// refused reports whether a server may take more attempts amiss.
func refused(err error) bool {
	var r *loginRefused
	return errors.As(err, &r) || errors.Is(err, errServerProof)
}

// runOnce is one connection: how long it stood and why it ended.
func (c *Client) runOnce(ctx context.Context) (time.Duration, error) {
	l, err := c.logIn(ctx)
	if err != nil {
		return 0, err
	}
	up := time.Now()
	select {
	case <-c.check: // of the connection before
	default:
	}
	s := newSession(c, l)
	c.setSession(s)
	c.log.WithFields(logrus.Fields{"jid": l.full, "server": c.Status().Server}).Info("XMPP session up")
	err = s.run(ctx, func() {
		c.handler.Up(l.full)
		c.handler.Roster(l.roster.items())
	})
	c.setSession(nil)
	c.handler.Down(err)
	return time.Since(up), err
}

// Send writes a message with payload to a full JID. It returns when the message is
// written or the connection lost, at the latest after 10 s, or when ctx ends: then
// the message may still go out. That it is written does not mean that it arrives.
func (c *Client) Send(ctx context.Context, toFull string, payload []byte) error {
	if len(payload) > MaxPayload {
		return fmt.Errorf("send to %q: %w", toFull, ErrTooLarge)
	}
	if !isFull(toFull) {
		return fmt.Errorf("send to %q: not a full JID", toFull)
	}
	c.mu.Lock()
	s := c.session
	c.mu.Unlock()
	if s == nil {
		return fmt.Errorf("send to %q: %w", toFull, ErrNotConnected)
	}
	b, err := messageXML(toFull, randomHex(8), payload)
	if err == nil {
		err = s.send(ctx, b)
	}
	if err != nil {
		return fmt.Errorf("send to %q: %w", toFull, err)
	}
	c.mu.Lock()
	c.status.Sent++
	c.mu.Unlock()
	return nil
}

// SetExtension changes the payload of our presence and announces it when connected.
// More than MaxPayload bytes are refused with a log line.
func (c *Client) SetExtension(extension []byte) {
	if len(extension) > MaxPayload {
		c.log.WithError(ErrTooLarge).Error("presence extension not changed")
		return
	}
	c.mu.Lock()
	c.extension = append([]byte{}, extension...)
	c.mu.Unlock()
	select {
	case c.announce <- struct{}{}:
	default: // an announcement is due already
	}
}

// Status returns a snapshot.
func (c *Client) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.status
	s.Ignored = maps.Clone(s.Ignored)
	return s
}

// sendPresence takes the due announcement before it reads the extension, so that a
// change in between is announced again.
func (c *Client) sendPresence(s *stream) error {
	select {
	case <-c.announce:
	default:
	}
	b, err := c.presence()
	if err != nil {
		return err
	}
	return s.write(b)
}

func (c *Client) ownExtension() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.extension
}

// newsOfRoom notes how a room is, "" for well, and reports whether that is new.
func (c *Client) newsOfRoom(room, how string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	last, known := c.rooms[room]
	c.rooms[room] = how
	return !known || last != how
}

func (c *Client) presence() ([]byte, error) {
	b, err := presenceXML(c.ownExtension())
	if err != nil {
		return nil, fmt.Errorf("encode presence: %w", err)
	}
	return b, nil
}

func (c *Client) setSession(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session = s
	c.status.Connected = s != nil
	c.status.Since = time.Now()
	c.status.JID = ""
	if s != nil {
		c.weak = nil
		c.status.JID = s.full
		c.status.Logins++
	}
}

func (c *Client) setServer(at endpoint) {
	c.mu.Lock()
	c.status.Server = at.String()
	c.mu.Unlock()
}

func (c *Client) setLastError(err error) {
	c.mu.Lock()
	c.status.LastError = err.Error()
	c.weak, _ = errors.AsType[*weakOffer](err)
	c.status.Failures++
	c.mu.Unlock()
}

func (c *Client) ignore(cause string) {
	c.mu.Lock()
	c.status.Ignored[cause]++
	c.mu.Unlock()
}

func (c *Client) countReceived() {
	c.mu.Lock()
	c.status.Received++
	c.mu.Unlock()
}
