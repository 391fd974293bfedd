package turn

import (
	"net/netip"
	"time"

	"github.com/pion/stun/v4"

	"evio/datapath/udp"
)

// arrivals handles what comes from the server, for the reader of an allocation.
type arrivals struct {
	*Allocation
	scratch stun.Message
	vector  []udp.Datagram
}

// receive handles messages that have come together, and delivers the datagrams in them. lost
// is how many messages were lost since the last call.
func (a *arrivals) receive(messages []udp.Datagram, lost uint64) {
	a.server.dropped.Add(lost)
	a.vector = a.vector[:0]
	now := time.Now()
	for _, m := range messages {
		if from, payload, ok := a.open(m.Data, now); ok {
			a.vector = append(a.vector, udp.Datagram{Local: a.relayed.Addr(), Remote: from, Data: payload})
		}
	}
	if len(a.vector) > 0 {
		a.pool.config.Deliver(a.Allocation, a.vector)
	}
}

// open returns the datagram in a message, if there is one and its sender has a permission. Other
// messages than answers are counted and dropped.
func (a *arrivals) open(message []byte, now time.Time) (from netip.AddrPort, payload []byte, ok bool) {
	m := read(message, &a.scratch)
	switch m.kind {
	case response:
		_, _ = a.conn.client.HandleInbound(message, a.conn.conn.RemoteAddr()) // an answer that nobody waits for does not matter
		return netip.AddrPort{}, nil, false
	case channel, data:
		from, ok = a.heard(m, now)
	default:
	}
	if !ok {
		a.server.dropped.Add(1)
	}
	return from, m.payload, ok
}

// heard notes that a datagram has come. It returns its sender, and whether that may send.
func (a *arrivals) heard(m incoming, now time.Time) (from netip.AddrPort, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if m.kind == data {
		return m.from, a.heardLocked(m.from.Addr(), now)
	}
	from, ok = a.numbers[m.channel]
	a.heardLocked(from.Addr(), now)
	return from, ok
}
