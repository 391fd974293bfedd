package member

import (
	"context"
	"fmt"
)

// Send passes a payload to the member's engine. It fails when the member is not
// online; it does not wait for an answer.
func (m Member) Send(ctx context.Context, payload []byte) error {
	if !m.Online || m.via == nil {
		return fmt.Errorf("send to %s: it is offline", m.JID)
	}
	m.via.book.mu.Lock()
	a := m.via.announcer
	m.via.book.mu.Unlock()
	if a == nil {
		return fmt.Errorf("send to %s: no signalling session", m.JID)
	}
	return a.Send(ctx, m.full, payload)
}

// before reports whether of two ways to one node this one is taken.
func (m Member) before(other Member) bool {
	if m.Online != other.Online {
		return m.Online
	}
	return m.JID < other.JID
}

// Elsewhere reports whether the member is reached by another connection than it was
// before: what was sent to that one may be lost.
func (m Member) Elsewhere(before Member) bool { return m.full != before.full || m.via != before.via }
