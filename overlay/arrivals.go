package overlay

import (
	"maps"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"evio/overlay/member"
	"evio/overlay/nodeid"
)

// What one account may bring: an engine sends an envelope each second, and a few more when
// a peer comes online or its own parameters change. All beyond that is forged, and costs no
// more than to be counted.
const (
	arrivalRate  = 10 // a second
	arrivalBurst = 50
)

// arrivals is what each account may still bring. A server that forges envelopes in the name
// of one takes the place of that one's own, which it could keep back anyway, and of nobody
// else's. The zero value is ready; any goroutine may call it.
type arrivals struct {
	mu sync.Mutex
	of map[nodeid.ID]*rate.Limiter
}

// allow takes one from what the account of a node may bring.
func (a *arrivals) allow(from nodeid.ID, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.of[from]
	if l == nil {
		l = rate.NewLimiter(arrivalRate, arrivalBurst)
		if a.of == nil {
			a.of = map[nodeid.ID]*rate.Limiter{}
		}
		a.of[from] = l
	}
	return l.AllowN(now, 1)
}

// keep forgets all but members.
func (a *arrivals) keep(members map[nodeid.ID]member.Member) {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.of, func(id nodeid.ID, _ *rate.Limiter) bool {
		_, still := members[id]
		return !still
	})
}
