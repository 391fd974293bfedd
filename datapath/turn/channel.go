package turn

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/pion/stun/v4"

	"evio/datapath/udp"
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

// Send sends one datagram, see SendRuns.
func (a *Allocation) Send(to netip.AddrPort, datagram []byte) error {
	_, err := a.SendRuns(to, []udp.Run{{Bytes: datagram}})
	return err
}

// SendRuns sends the datagrams of some runs to a peer. It does not wait for the server: if the
// peer has no permission yet, or the connection cannot take more, datagrams may be dropped and
// counted. It keeps none of the bytes.
//
// It returns how many datagrams were taken, which is all unless there is an error.
func (a *Allocation) SendRuns(to netip.AddrPort, runs []udp.Run) (sent int, err error) {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	count := 0
	for _, r := range runs {
		for range r.Datagrams() {
			count++
		}
	}
	o := a.conn.compose()
	waits, err := a.compose(o, to, runs, count, time.Now())
	switch {
	case waits:
		a.conn.forget(o)
		return count, nil
	case err != nil:
		a.conn.forget(o)
	default:
		sent, err = a.conn.send(o)
	}
	a.server.dropped.Add(uint64(count - sent))
	return sent, err
}

// compose makes the messages that carry the datagrams of some runs. It returns true if they
// wait for the permission, as far as there is room, and are dropped otherwise.
func (a *Allocation) compose(o *outgoing, to netip.AddrPort, runs []udp.Run, count int, now time.Time) (waits bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, err := a.permissionLocked(to.Addr(), now)
	switch {
	case err != nil:
		return false, err
	case p.err != nil:
		return false, p.err
	case p.granted.IsZero():
		a.server.dropped.Add(p.wait(to, runs))
		return true, nil
	}
	return false, a.composeLocked(o, to, runs, count, now)
}

// composeLocked uses the channel of a permitted peer if it has one.
func (a *Allocation) composeLocked(o *outgoing, to netip.AddrPort, runs []udp.Run, count int, now time.Time) error {
	b := a.bindingLocked(to, count, now)
	bound := b != nil && b.usable(now)
	for _, r := range runs {
		if err := o.add(r, func(dst, datagram []byte) ([]byte, error) {
			switch {
			case len(datagram) > maxRelayed:
				return dst, fmt.Errorf("a datagram of %d bytes: at most %d are relayed", len(datagram), maxRelayed)
			case bound:
				return appendChannel(dst, b.number, datagram, a.conn.batch == nil), nil
			default:
				return appendIndication(dst, to, datagram)
			}
		}); err != nil {
			return err
		}
	}
	return nil
}

// bindingLocked counts datagrams to a peer, and asks for a channel after BindAfter of them.
// It returns nil if the table is full.
func (a *Allocation) bindingLocked(to netip.AddrPort, count int, now time.Time) *binding {
	b := a.channels[to]
	if b == nil {
		if len(a.channels) >= MaxChannels {
			return nil
		}
		b = &binding{}
		a.channels[to] = b
	}
	b.used = now
	if b.sent += count; b.sent >= BindAfter && !b.asking && !b.failed && !b.usable(now) {
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
