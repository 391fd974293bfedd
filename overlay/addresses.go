package overlay

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"evio/overlay/control"
	"evio/overlay/directory"
	"evio/overlay/member"
	"evio/overlay/nodeid"
)

var errEnded = errors.New("the overlay's node has ended")

// Claim takes a container's addresses for this node and announces them; without
// addresses it takes the MAC alone. It fails, having taken nothing, when a live
// node holds one of them, and names that node.
func (n *Node) Claim(ctx context.Context, addrs []netip.Addr, mac MAC) error {
	result := make(chan error, 1)
	if !n.mail.put(func() { result <- n.claim(addrs, mac, time.Now()) }) {
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
	if len(u.Changes) > 0 {
		n.publish()
	}
}

// publish makes the directory visible to everybody.
func (n *Node) publish() {
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

// splitRecords undoes what announce did.
func splitRecords(b []byte) ([][]byte, error) {
	var records [][]byte
	for len(b) > 0 {
		if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
			return nil, errors.New("announcement cut short")
		}
		end := 2 + int(binary.BigEndian.Uint16(b))
		records = append(records, b[2:end])
		b = b[end:]
	}
	return records, nil
}

// announced takes records that a peer sent.
func (n *Node) announced(from member.Member, payload []byte, now time.Time) {
	records, err := splitRecords(payload)
	if err != nil {
		n.drops.record.Add(1)
		return
	}
	for _, r := range records {
		result, err := n.directory.Apply(r, now, n.keyOf)
		if err != nil {
			n.drops.record.Add(1)
			n.blame(from, err, "announcement refused", now)
			continue
		}
		if result.Conflict != nil {
			n.drops.conflict.Add(1)
			n.blame(from, n.explain(result.Conflict), "two nodes claim one address", now)
		}
		n.directoryChanged(result.Update, now)
	}
}

func (n *Node) keyOf(id nodeid.ID) (ed25519.PublicKey, bool) {
	m, ok := n.members[id]
	return m.Key, ok
}
