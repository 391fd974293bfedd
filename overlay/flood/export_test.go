package flood

import (
	"time"

	"evio/overlay/nodeid"
)

// Remembered returns how many neighbours, origins and arcs are remembered.
func (f *Flood) Remembered() (neighbours, origins, forwarded int) {
	return f.ingress.Len(), f.origins.Len(), f.forwarded.Len()
}

// Receive takes a frame as a node does that has one goroutine for all. genuine reports
// whether the origin signed it; it is asked only about frames that are not dropped for
// what is cheaper to see.
func (f *Flood) Receive(from nodeid.ID, h Header, size int, genuine func() bool, neighbours []nodeid.ID, now time.Time) (deliver bool, forward []Send, drop Cause) {
	if drop := f.Examine(from, h, size, now); drop != NoDrop {
		return false, nil, drop
	}
	if !genuine() {
		return false, nil, f.Refuse(from, now)
	}
	return f.Accept(from, h, size, neighbours, now)
}
