package turn

import "time"

// maintain renews permissions and channels in use and forgets the others.
func (a *Allocation) maintain(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.pool.timing
	for peer, p := range a.permissions {
		idle := now.Sub(p.used) >= PeerIdle
		switch {
		case p.wanted:
		case p.err != nil && now.Sub(p.since) >= t.retry, idle && now.Sub(p.granted) >= permissionLifetime:
			delete(a.permissions, peer)
		case p.err == nil && !idle && now.Sub(p.granted) >= t.permission:
			p.wanted = a.startRequestingLocked()
		}
	}
	for to, b := range a.channels {
		idle := now.Sub(b.used) >= PeerIdle
		switch {
		case b.asking:
		case idle && (b.number == 0 || now.Sub(b.asked) >= channelRest):
			delete(a.channels, to)
			delete(a.numbers, b.number)
		case !idle && b.usable(now) && now.Sub(b.bound) >= t.channel:
			a.bindLocked(to, b, now)
		}
	}
}
