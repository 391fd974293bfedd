package overlay

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"evio/overlay/control"
	"evio/overlay/directory"
)

var errEnded = errors.New("the overlay's node has ended")

// Claim takes a container's addresses for this node and announces them; without
// addresses it takes the MAC alone. It fails, having taken nothing, when a live
// node holds one of them, and names that node.
func (n *Node) Claim(ctx context.Context, addrs []netip.Addr, mac MAC) error {
	result := make(chan error, 1)
	if !n.mail.put(func() {
		err := n.claim(addrs, mac, time.Now())
		n.publish()
		result <- err
	}) {
		return errEnded
	}
	select {
	case err := <-result:
		return err
	case <-n.done:
		return errEnded
	case <-ctx.Done():
		n.Withdraw(addrs, mac)
		return ctx.Err()
	}
}

func (n *Node) claim(addrs []netip.Addr, mac MAC, now time.Time) error {
	for i, a := range orNone(addrs) {
		u, err := n.directory.Claim(a, mac, now)
		if err != nil {
			n.withdraw(addrs[:i], mac, now)
			return n.explain(err)
		}
		n.directoryChanged(u, now)
	}
	return nil
}

// explain names the account of the node that holds an address.
func (n *Node) explain(err error) error {
	var conflict *directory.ConflictError
	if !errors.As(err, &conflict) {
		return err
	}
	if m, known := n.members[conflict.Owner]; known {
		return fmt.Errorf("%w (%s)", err, m.JID)
	}
	return err
}

// Withdraw gives up what Claim took; it does not wait.
func (n *Node) Withdraw(addrs []netip.Addr, mac MAC) {
	n.mail.put(func() { n.withdraw(orNone(addrs), mac, time.Now()) })
}

func (n *Node) withdraw(addrs []netip.Addr, mac MAC, now time.Time) {
	for _, a := range addrs {
		n.directoryChanged(n.directory.Withdraw(a, mac, now), now)
	}
}

// orNone stands the zero address for none, which is how the directory is told of
// a MAC alone.
func orNone(addrs []netip.Addr) []netip.Addr {
	if len(addrs) == 0 {
		return []netip.Addr{{}}
	}
	return addrs
}

// directoryChanged announces what is ours and shows what is new.
func (n *Node) directoryChanged(u directory.Update, now time.Time) {
	for _, l := range u.Lost {
		owner := l.Owner.String()
		if m, known := n.members[l.Owner]; known {
			owner = m.JID
		}
		n.drops.lost.Add(1)
		n.log.WithField("peer", owner).Errorf("%v belongs to another node now: give one of the two containers another address", l.Key)
	}
	for _, p := range n.peers {
		if p.serving != nil {
			n.announce(p.serving, u.Announce, now)
		}
	}
	n.changed = n.changed || len(u.Changes) > 0
}

// publish makes the directory visible to everybody if it has changed. It is called
// once for all that waited together, and before anything that looks at the table.
func (n *Node) publish() {
	if !n.changed {
		return
	}
	n.changed = false
	known := n.directory.Entries()
	entries := make([]Entry, len(known))
	for i, e := range known {
		entries[i] = Entry{Addr: e.Addr, MAC: e.MAC, Node: e.Node}
	}
	n.table.Store(NewTable(entries))
	n.cfg.Fabric.DirectoryChanged()
}

// announce sends records to one peer, as many to a message as fit: each behind its
// length as two bytes.
func (n *Node) announce(a *attempt, records [][]byte, now time.Time) {
	var b []byte
	for _, r := range records {
		if len(b)+2+len(r) > control.MaxPayload {
			a.tell(control.Announce, b, now)
			b = nil
		}
		b = binary.BigEndian.AppendUint16(b, uint16(len(r)))
		b = append(b, r...)
	}
	if len(b) > 0 {
		a.tell(control.Announce, b, now)
	}
}
