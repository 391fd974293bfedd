package main

import (
	"context"
	"encoding/binary"
	"errors"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"evio/datapath/session"
	"evio/overlay"
	"evio/overlay/control"
	"evio/overlay/directory"
	"evio/overlay/overlaytest"
)

// voice stands between the member's node and a peer: what the one says to the other by control
// goes through it, and lies are put between.
type voice struct {
	node overlay.SessionEvents // where what the peer says goes

	mu      sync.Mutex
	session *session.Session // nil before it is open
	up      bool
	silent  bool
	inner   *control.Conn // to the node
	outer   *control.Conn // to the peer
}

func newVoice(node overlay.SessionEvents) *voice {
	return &voice{node: node, inner: control.New(), outer: control.New()}
}

// open notes whether the session is established.
func (m *voice) open(h *hostile, up bool) {
	m.mu.Lock()
	m.up = up
	m.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	if up {
		h.voices[m] = true
	} else {
		delete(h.voices, m)
	}
}

// fromNode takes what the node says.
func (m *voice) fromNode(frames [][]byte) { m.pass(m.inner, m.outer, frames) }

// fromPeer takes what the peer says. A silent member has not heard it.
func (m *voice) fromPeer(frames [][]byte) { m.pass(m.outer, m.inner, frames) }

func (m *voice) pass(from, to *control.Conn, frames [][]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.silent {
		return
	}
	now := time.Now()
	for _, f := range frames {
		messages, out, err := from.Receive(f, now)
		if err != nil {
			continue
		}
		m.sendLocked(from, out)
		for _, said := range messages {
			if out, err := to.Send(said.Type, said.Payload, now); err == nil {
				m.sendLocked(to, out)
			}
		}
	}
}

// sendLocked sends the frames of one of the two.
func (m *voice) sendLocked(c *control.Conn, frames [][]byte) {
	switch {
	case len(frames) == 0:
	case c == m.inner:
		m.node.Control(frames)
	default:
		_ = m.session.Send(session.Control, frames) // what is lost is said again
	}
}

// tick repeats what was lost, until the context ends.
func (m *voice) tick() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.up && !m.silent {
		now := time.Now()
		m.sendLocked(m.inner, m.inner.Tick(now))
		m.sendLocked(m.outer, m.outer.Tick(now))
	}
}

// say announces records to the peer.
func (m *voice) say(records [][]byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.up {
		return nil
	}
	var b []byte
	for _, r := range records {
		b = binary.BigEndian.AppendUint16(b, uint16(len(r)))
		b = append(b, r...)
	}
	out, err := m.outer.Send(control.Announce, b, time.Now())
	m.sendLocked(m.outer, out)
	return err
}

// lie is what a hostile-member says of addresses.
type lie struct {
	MAC        hexBytes     `json:"mac"`
	Addresses  []netip.Addr `json:"addresses"`
	Prefix     netip.Prefix `json:"prefix"`     // in their place all addresses of it, eight with each MAC
	Generation uint64       `json:"generation"` // default 1
	Flips      int          `json:"flips"`      // how many records to say, claims and withdrawals in turn
	Every      int          `json:"every"`      // microseconds between two of them
}

// lie says that addresses and MAC addresses are this member's, whosever they are.
func (h *hostile) lie(r *http.Request) (any, error) {
	l, err := request[lie](r)
	if err != nil {
		return nil, err
	}
	var claims, withdrawals [][]byte
	if l.Prefix.IsValid() {
		const each = 8
		mac := overlay.MAC(l.MAC)
		for a, i := l.Prefix.Addr(), 0; l.Prefix.Contains(a); a, i = a.Next(), i+1 {
			binary.BigEndian.PutUint16(mac[4:], uint16(i/each))
			said, _, err := h.claimAndWithdraw(mac, []netip.Addr{a}, max(1, l.Generation))
			if err != nil {
				return nil, err
			}
			claims = append(claims, said...)
		}
	} else if claims, withdrawals, err = h.claimAndWithdraw(overlay.MAC(l.MAC), l.Addresses, max(1, l.Generation)); err != nil {
		return nil, err
	}
	if l.Flips == 0 {
		const most = 30 // records to a message
		for len(claims) > 0 {
			part := claims[:min(most, len(claims))]
			claims = claims[len(part):]
			if err := h.say(part); err != nil {
				return nil, err
			}
		}
		return struct{}{}, nil
	}
	return struct{}{}, h.flip(r.Context(), l, claims, withdrawals)
}

// flip says claims and withdrawals in turn.
func (h *hostile) flip(ctx context.Context, l lie, claims, withdrawals [][]byte) error {
	tick := time.NewTicker(time.Duration(max(1, l.Every)) * time.Microsecond)
	defer tick.Stop()
	for i := range l.Flips {
		records := claims
		if i/len(claims)%2 == 1 {
			records = withdrawals
		}
		r := overlaytest.Resign(records[i%len(records)], h.key, h.node.Overlay(), max(1, l.Generation), h.sequence())
		if err := h.say([][]byte{r}); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// claimAndWithdraw signs both of a MAC address and addresses with it.
func (h *hostile) claimAndWithdraw(mac overlay.MAC, addrs []netip.Addr, generation uint64) (claims, withdrawals [][]byte, err error) {
	d, err := directory.New(h.node.ID(), h.key, h.node.Overlay(), directory.Config{}, time.Now())
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	for _, a := range addrs {
		u, err := d.Claim(a, mac, now)
		if err != nil {
			return nil, nil, err
		}
		claims = append(claims, u.Announce...)
	}
	for _, a := range addrs {
		withdrawals = append(withdrawals, d.Withdraw(a, mac, now).Announce...)
	}
	for _, list := range [][][]byte{claims, withdrawals} {
		for i := range list {
			list[i] = overlaytest.Resign(list[i], h.key, h.node.Overlay(), generation, h.sequence())
		}
	}
	return claims, withdrawals, nil
}

// sequence returns a number above all that were used.
func (h *hostile) sequence() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.said = max(h.said+1, uint64(time.Now().UnixNano()))
	return h.said
}

// say announces records to all peers.
func (h *hostile) say(records [][]byte) error {
	var errs []error
	for _, m := range h.voicesNow() {
		errs = append(errs, m.say(records))
	}
	return errors.Join(errs...)
}

// silence has the member hear and say nothing of itself, or do so again; lies are said.
func (h *hostile) silence(r *http.Request) (any, error) {
	on, err := request[bool](r)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	h.silent = on
	h.mu.Unlock()
	for _, m := range h.voicesNow() {
		m.mu.Lock()
		m.silent = on
		m.mu.Unlock()
	}
	return struct{}{}, nil
}

// reconnect ends all sessions; the node then makes new ones.
func (h *hostile) reconnect(*http.Request) (any, error) {
	h.mu.Lock()
	var all []*session.Session
	for _, s := range h.sessions {
		all = append(all, s)
	}
	h.mu.Unlock()
	for _, s := range all {
		s.Close()
	}
	return struct{}{}, nil
}

func (h *hostile) voicesNow() []*voice {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []*voice
	for m := range h.voices {
		all = append(all, m)
	}
	return all
}

// tickVoices does what is due until the context ends.
func (h *hostile) tickVoices(ctx context.Context) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			for _, m := range h.voicesNow() {
				m.tick()
			}
		}
	}
}
