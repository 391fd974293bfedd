package status

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// lossStands is how long a loss is a fault after the last of it.
	lossStands = 60 * time.Second
	// lossEvery is how often the counters are looked at when nobody asks for them.
	lossEvery = 5 * time.Second
)

// Loss is what was lost for one reason at one place, and lately.
type Loss struct {
	Cause string    `json:"cause"`          // the name of the drop counter
	Peer  string    `json:"peer,omitempty"` // bare JID of the tunnel's far end, if a tunnel has lost it
	Count uint64    `json:"count"`          // since it began
	Since time.Time `json:"since"`          // when it began: nothing was lost in the minute before
	Last  time.Time `json:"last"`           // when the counter was last seen to move
}

// sentence says what was lost, when, and what to do.
func (l Loss) sentence() string {
	by := ""
	if l.Peer != "" {
		by = " in the tunnel to " + l.Peer
	}
	return fmt.Sprintf("%d lost%s, the last at %s (%s): %s", l.Count, by, l.Last.UTC().Format(time.RFC3339), l.Cause, causeOf(l.Cause).remedy)
}

// Losses remembers when the counters of drops that mean a loss have moved. Its methods
// may be called from any goroutine.
type Losses struct {
	mu       sync.Mutex
	noted    time.Time        // when counters were last seen
	seen     map[place]uint64 // counters as they were last seen
	standing map[place]Loss
}

// place is where something is counted.
type place struct {
	network string // ID; empty: the UDP socket
	peer    string // bare JID; empty: no tunnel
	cause   string
}

// Note compares the counters of a document with those that it saw last, and puts the
// losses that stand into the document, also among its faults. Counters that were begun to
// be collected before others were noted may be older than those, and are left out.
func (l *Losses) Note(d *Document, begun, now time.Time) {
	counters := d.lossCounters()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(d, now)
	if !begun.Before(l.noted) {
		for p, count := range counters {
			l.moved(p, count, now)
		}
		l.noted = now
	}
	d.Transport.Losses = l.at("")
	for _, s := range d.Transport.Losses {
		d.Faults = append(d.Faults, s.sentence())
	}
	for i := range d.Networks {
		n := &d.Networks[i]
		n.Losses = l.at(n.ID)
		for _, s := range n.Losses {
			d.Faults = append(d.Faults, "network "+n.Label()+": "+s.sentence())
		}
	}
}

// forget drops what is over, and networks that are gone.
func (l *Losses) forget(d *Document, now time.Time) {
	there := map[string]bool{"": true}
	for _, n := range d.Networks {
		there[n.ID] = true
	}
	maps.DeleteFunc(l.seen, func(p place, _ uint64) bool { return !there[p.network] })
	maps.DeleteFunc(l.standing, func(p place, s Loss) bool { return !there[p.network] || now.Sub(s.Last) >= lossStands })
}

// moved takes the present count of a counter. One that is lower than before has begun
// at zero, with another session.
func (l *Losses) moved(p place, count uint64, now time.Time) {
	more := count
	if before := l.seen[p]; before <= count {
		more = count - before
	}
	if l.seen == nil {
		l.seen, l.standing = map[place]uint64{}, map[place]Loss{}
	}
	l.seen[p] = count
	if more == 0 {
		return
	}
	s, ok := l.standing[p]
	if !ok {
		s = Loss{Cause: p.cause, Peer: p.peer, Since: now}
	}
	s.Count += more
	s.Last = now
	l.standing[p] = s
}

// at returns the losses of a network, sorted.
func (l *Losses) at(network string) []Loss {
	out := []Loss{}
	for p, s := range l.standing {
		if p.network == network {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b Loss) int { return cmp.Or(cmp.Compare(a.Peer, b.Peer), cmp.Compare(a.Cause, b.Cause)) })
	return out
}

// lossCounters returns the counters of a document that mean a loss.
func (d *Document) lossCounters() map[place]uint64 {
	out := map[place]uint64{}
	add := func(network, peer string, drops map[string]uint64) {
		for name, count := range drops {
			if causeOf(name).class == lost {
				out[place{network, peer, name}] += count
			}
		}
	}
	add("", "", d.Transport.Drops)
	for _, n := range d.Networks {
		add(n.ID, "", n.Drops)
		for _, s := range n.Sessions {
			add(n.ID, s.JID, s.Drops)
		}
	}
	return out
}

// Watch looks at the counters that a function collects until the context ends, so that
// losses are noted when they happen and not when somebody asks. report is called with each
// document, after it was noted.
func (l *Losses) Watch(ctx context.Context, collect func(context.Context) Document, report func(Document)) {
	timer := time.NewTicker(lossEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		begun := time.Now()
		within, cancel := context.WithTimeout(ctx, lossEvery)
		d := collect(within)
		cancel()
		l.Note(&d, begun, time.Now())
		report(d)
	}
}
