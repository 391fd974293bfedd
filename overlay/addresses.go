package overlay

import (
	"context"
	"encoding/binary"
	"errors"
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

// Take is Claim for one address, or with the zero one for the MAC alone, that a
// container took by itself. It may have taken effect also where the context ended
// first. It leaves what Docker handed out as it is.
func (n *Node) Take(ctx context.Context, addr netip.Addr, mac MAC) error {
	return n.askAs(ctx, source{kind: ofContainers}, func() error {
		now := time.Now()
		u, err := n.directory.Take(addr, mac, now)
		n.directoryChanged(u, now)
		return n.explain(err)
	})
}

// GiveUp gives up what Take took; it does not wait. It takes effect before what Take is
// asked for after it, since another container may take the same at once.
func (n *Node) GiveUp(addr netip.Addr, mac MAC) {
	n.mail.post(source{kind: ofContainers}, func() {
		now := time.Now()
		n.directoryChanged(n.directory.GiveUp(addr, mac, now), now)
	})
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
		return how(orNone(addrs), mac, time.Now())
	})
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		n.Withdraw(addrs, mac)
	}
	return err
}

// ask runs f on the node's goroutine. After the end of the context f may still run.
func (n *Node) ask(ctx context.Context, f func() error) error {
	return n.askAs(ctx, source{kind: ofEngine}, f)
}

func (n *Node) askAs(ctx context.Context, s source, f func() error) error {
	result := make(chan error, 1)
	if !n.mail.post(s, func() { result <- f() }) {
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
	if conflict.Reserved && conflict.Owner.IsZero() {
		named.Name = n.reservedAccount(conflict.Key.Addr)
	}
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

// orNone returns the zero address for none: with it the directory takes a MAC address
// alone.
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
		if n.keyLog.lost(l, now) {
			n.logLost(l)
		}
	}
	for _, k := range u.Regained {
		if n.keyLog.regained(k, now) {
			n.logRegained(k)
		}
	}
	for _, p := range n.peers {
		if p.serving != nil {
			p.outbox.add(u.Announce)
			n.tellClaims(p, now)
		}
	}
	for _, c := range u.Changes {
		n.changed(c)
	}
	n.stirred = n.stirred || len(u.Changes)+len(u.Announce) > 0
}

// tellClaims tells a peer what it may be told by now of what is ours.
func (n *Node) tellClaims(p *peer, now time.Time) {
	if p.serving != nil && len(p.outbox.queue) > 0 {
		n.announce(p.serving, p.outbox.take(now), now)
	}
}

// announce sends records to one peer, as many to a message as fit: each behind its
// length as two bytes.
func (n *Node) announce(a *peerSession, records [][]byte, now time.Time) {
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
