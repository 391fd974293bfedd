package turn

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/pion/stun/v4"
)

const (
	// MaxChannels bounds the peers that datagrams to are counted for channels.
	MaxChannels = 512
	// BindAfter is the number of datagrams to a peer before it gets a channel:
	// connectivity checks to many candidates are not worth one.
	BindAfter = 8
)

// binding is a peer with or on the way to a channel. It is kept until its number
// may mean another peer.
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

// Send sends a datagram to a peer. It does not wait for the server: without a
// permission, or when the connection cannot take more, the datagram may be
// dropped, which is counted. It does not keep the bytes.
func (a *Allocation) Send(to netip.AddrPort, datagram []byte) error {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	message, err := a.compose(to, datagram, time.Now())
	if message != nil {
		err = a.link.send(message)
	}
	if err != nil {
		a.server.dropped.Add(1)
	}
	return err
}

// compose returns the message that carries a datagram, or nothing if it waits
// for the permission or was dropped for that.
func (a *Allocation) compose(to netip.AddrPort, datagram []byte, now time.Time) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, err := a.askLocked(to.Addr(), now)
	switch {
	case err != nil:
		return nil, err
	case p.granted.IsZero() && p.err == nil && len(p.waiting) < waitingDatagrams:
		p.waiting = append(p.waiting, waiting{to, append([]byte(nil), datagram...)})
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
		return appendChannel(buffer, b.number, datagram, a.link.output != nil), nil
	}
	return indication(to, datagram)
}

// bindingLocked counts a datagram to a peer and asks for a channel when there
// were enough. It returns nil if the table is full.
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

// bindLocked asks for a channel, or for the same one again.
func (a *Allocation) bindLocked(to netip.AddrPort, b *binding, now time.Time) {
	if b.number == 0 {
		b.number = a.freeNumberLocked()
		a.numbers[b.number] = to
	}
	b.asked = now
	b.asking = a.beginLocked(func() {
		_, err := a.link.request(stun.MethodChannelBind, channelNumber(b.number), peerAddress(to))
		a.mu.Lock()
		defer a.mu.Unlock()
		b.asking = false
		b.failed = err != nil && !errors.Is(err, errQueueFull) // that one is tried again
		if err == nil {
			b.bound = time.Now()
		}
	})
}

// freeNumberLocked goes round all numbers, so that one rests as long as it can.
func (a *Allocation) freeNumberLocked() uint16 {
	for {
		if a.number++; a.number > maxChannel || a.number < minChannel {
			a.number = minChannel
		}
		if _, taken := a.numbers[a.number]; !taken {
			return a.number
		}
	}
}
