package turn

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/pion/stun/v4"
)

const (
	// MaxChannels is how many peers may have a channel, or be on the way to one.
	MaxChannels = 512
	// BindAfter is how many datagrams are sent to a peer before it gets a channel. A
	// connectivity check is not worth one.
	BindAfter = 8
)

// binding is a peer that has a channel or is on the way to one. It is kept until its number
// may be given to another peer.
type binding struct {
	number uint16 // 0 until one is asked for
	sent   int
	asking bool
	failed bool
	bound  time.Time // of the last success
	asked  time.Time
	used   time.Time
}

func (b *binding) usable(now time.Time) bool {
	return !b.bound.IsZero() && now.Sub(b.bound) < channelLifetime-AnswerTimeout
}

// Send sends a datagram to a peer. It does not wait for the server: if the peer has no
// permission yet, or the connection cannot take more, the datagram may be dropped and
// counted. Send does not keep the bytes.
func (a *Allocation) Send(to netip.AddrPort, datagram []byte) error {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	message, err := a.compose(to, datagram, time.Now())
	if message != nil {
		err = a.conn.send(message)
	}
	if err != nil {
		a.server.dropped.Add(1)
	}
	return err
}

// compose returns the message that carries a datagram, or nil if the datagram waits for the
// permission, or was dropped because too many wait.
func (a *Allocation) compose(to netip.AddrPort, datagram []byte, now time.Time) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, err := a.permissionLocked(to.Addr(), now)
	switch {
	case err != nil:
		return nil, err
	case p.granted.IsZero() && p.err == nil && len(p.waiting) < maxWaiting:
		p.waiting = append(p.waiting, waitingDatagram{to, append([]byte(nil), datagram...)})
		return nil, nil
	case p.granted.IsZero() && p.err == nil:
		a.server.dropped.Add(1)
		return nil, nil
	case p.err != nil:
		return nil, p.err
	}
	return a.composeLocked(to, datagram, now)
}

// composeLocked uses the channel of a permitted peer if it has one.
func (a *Allocation) composeLocked(to netip.AddrPort, datagram []byte, now time.Time) ([]byte, error) {
	if len(datagram) > maxMessage {
		return nil, fmt.Errorf("a datagram of %d bytes: at most %d are relayed", len(datagram), maxMessage)
	}
	if b := a.bindingLocked(to, now); b != nil && b.usable(now) {
		buffer := make([]byte, 0, channelHeader+len(datagram)+3)
		return appendChannel(buffer, b.number, datagram, a.conn.output != nil), nil
	}
	return indication(to, datagram)
}

// bindingLocked counts a datagram to a peer, and asks for a channel after BindAfter of them.
// It returns nil if the table is full.
func (a *Allocation) bindingLocked(to netip.AddrPort, now time.Time) *binding {
	b := a.channels[to]
	if b == nil {
		if len(a.channels) >= MaxChannels {
			return nil
		}
		b = &binding{}
		a.channels[to] = b
	}
	b.used = now
	if b.sent++; b.sent >= BindAfter && !b.asking && !b.failed && !b.usable(now) {
		a.bindLocked(to, b, now)
	}
	return b
}

// bindLocked asks for a channel, or renews it.
func (a *Allocation) bindLocked(to netip.AddrPort, b *binding, now time.Time) {
	if b.number == 0 {
		b.number = a.freeNumberLocked()
		a.numbers[b.number] = to
	}
	b.asked = now
	b.asking = a.startLocked(func() {
		_, err := a.conn.request(stun.MethodChannelBind, channelNumber(b.number), peerAddress(to))
		a.mu.Lock()
		defer a.mu.Unlock()
		b.asking = false
		b.failed = err != nil && !errors.Is(err, errQueueFull) // after that it is tried again
		if err == nil {
			b.bound = time.Now()
		}
	})
}

// freeNumberLocked goes through all numbers in turn, so that each rests as long as possible.
func (a *Allocation) freeNumberLocked() uint16 {
	for {
		if a.lastNumber++; a.lastNumber > maxChannel || a.lastNumber < minChannel {
			a.lastNumber = minChannel
		}
		if _, taken := a.numbers[a.lastNumber]; !taken {
			return a.lastNumber
		}
	}
}
