package overlay

import (
	"time"

	"evio/overlay/directory"
)

// changed shows at once who holds a key, and notes it for the fabric.
func (n *Node) changed(c directory.Change) {
	if c.Key.Bits != 0 {
		return // a range: it says who may claim, not who answers
	}
	k := key{addr: c.Key.Addr, mac: c.Key.MAC}
	for _, c := range n.table.set(k, Entry{Addr: c.After.Addr, MAC: c.After.MAC, Node: c.After.Node, Taken: c.After.Taken}) {
		if n.pending == nil {
			n.pending = map[key]Entry{}
		}
		k := key{addr: c.Addr, mac: c.MAC}
		if _, noted := n.pending[k]; !noted {
			n.pending[k] = c.Before
		}
	}
}

// publishPause is how often the fabric is notified of changes at most. What came meanwhile of
// one key is one change.
const publishPause = 50 * time.Millisecond

// publish tells the fabric what has changed, if it is time to.
func (n *Node) publish(now time.Time) {
	if len(n.pending) == 0 || now.Before(n.published.Add(publishPause)) {
		return
	}
	changes := make([]Change, 0, len(n.pending))
	for k, before := range n.pending {
		if after := n.table.lookup(k); after != before {
			changes = append(changes, Change{Addr: k.addr, MAC: k.mac, Before: before, After: after})
		}
	}
	n.pending, n.published = nil, now
	if len(changes) > 0 {
		n.cfg.Fabric.DirectoryChanged(changes)
	}
}
