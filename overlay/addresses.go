package overlay

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
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
	return n.take(ctx, addrs, mac, n.claim)
}

// Keep is Claim for a container that has its addresses already, such as one that runs
// on over a restart: what another node holds is lost, as in Status, until that node
// gives it up.
func (n *Node) Keep(ctx context.Context, addrs []netip.Addr, mac MAC) error {
	return n.take(ctx, addrs, mac, n.keep)
}

// Check returns the error that Claim would return now, as far as this node knows, and
// takes nothing.
func (n *Node) Check(ctx context.Context, addrs []netip.Addr, mac MAC) error {
	return n.ask(ctx, func() error {
		for _, a := range orNone(addrs) {
			if err := n.directory.Check(a, mac, time.Now()); err != nil {
				return n.explain(err)
			}
		}
		return nil
	})
}

func (n *Node) take(ctx context.Context, addrs []netip.Addr, mac MAC, how func([]netip.Addr, MAC, time.Time) error) error {
	err := n.ask(ctx, func() error {
		err := how(orNone(addrs), mac, time.Now())
		n.publish()
		return err
	})
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		n.Withdraw(addrs, mac)
	}
	return err
}

// ask runs f on the node's goroutine. After the end of the context f may still run.
func (n *Node) ask(ctx context.Context, f func() error) error {
	result := make(chan error, 1)
	if !n.mail.put(func() { result <- f() }) {
		return errEnded
	}
	select {
	case err := <-result:
		return err
	case <-n.done:
		return errEnded
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (n *Node) claim(addrs []netip.Addr, mac MAC, now time.Time) error {
	for i, a := range addrs {
		u, err := n.directory.Claim(a, mac, now)
		if err != nil {
			n.withdraw(addrs[:i], mac, now)
			return n.explain(err)
		}
		n.directoryChanged(u, now)
	}
	return nil
}

func (n *Node) keep(addrs []netip.Addr, mac MAC, now time.Time) error {
	var errs []error
	for _, a := range addrs {
		u, err := n.directory.Keep(a, mac, now)
		errs = append(errs, err)
		n.directoryChanged(u, now)
	}
	return errors.Join(errs...)
}

// explain gives the node that holds an address the name that people know.
func (n *Node) explain(err error) error {
	var conflict *directory.ConflictError
	if !errors.As(err, &conflict) {
		return err
	}
	named := *conflict
	named.Name = n.called(conflict.Owner)
	return &named
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
		n.drops.lost.Add(1)
		n.log.Errorf("%v with MAC address %s is of %s too, which keeps it: the container here has no traffic with it until that one gives it up; give one of the two another address",
			l.Key, net.HardwareAddr(l.MAC[:]), n.called(l.Owner))
	}
	for _, k := range u.Regained {
		n.log.Warnf("%v is this engine's again: the other node gave it up or is out of reach", k)
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
