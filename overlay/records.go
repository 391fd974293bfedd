package overlay

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"time"

	"evio/overlay/control"
	"evio/overlay/directory"
	"evio/overlay/nodeid"
)

const (
	// recordBurst is how many records of a peer that need a signature check are taken
	// at once: all that a node says when a session begins (it claims and has withdrawn
	// MaxClaims keys at most), and the claims of its next life behind that.
	recordBurst = 3*directory.MaxClaims + 2
	// recordRate is how many more of them are taken in a second.
	recordRate = 200
	// resyncTokens is how many may be taken of a peer before it is asked for all again.
	resyncTokens = recordBurst / 2
	// resyncPause is how often everything is sent to a peer again, at most.
	resyncPause = 5 * time.Second
)

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

// byRecord makes messages with one record each of one with several.
func byRecord(m control.Message) []control.Message {
	if m.Type != control.Announce {
		return []control.Message{m}
	}
	records, err := splitRecords(m.Payload)
	if err != nil || len(records) < 2 {
		return []control.Message{m}
	}
	parts, rest := make([]control.Message, len(records)), m.Payload
	for i, r := range records {
		parts[i] = control.Message{Type: m.Type, Payload: rest[:2+len(r)]}
		rest = rest[2+len(r):]
	}
	return parts
}

// announced takes records that a peer sent. What it says beyond its limit is not
// taken, and asked for again when the peer may say more: the session goes on, as it
// may be another's doing that the peer says so much.
func (n *Node) announced(p *peer, a *peerSession, payload []byte, now time.Time) {
	var from nodeid.ID // what it said over a session before may be of an earlier life
	if p.serving != nil && p.serving == a {
		from = a.peer
	}
	records, err := splitRecords(payload)
	if err != nil {
		n.drops.record.Add(1)
		return
	}
	var all directory.Update
	for i, r := range records {
		if p.records.TokensAt(now) < 1 {
			n.drops.tooMany.Add(uint64(len(records) - i))
			n.complain(p.member, errTooManyRecords, "announcement not taken, to be asked for again", now)
			p.missed = true
			break
		}
		u := n.record(p, from, r, now)
		all.Announce = append(all.Announce, u.Announce...)
		all.Changes = append(all.Changes, u.Changes...)
		all.Lost = append(all.Lost, u.Lost...)
		all.Regained = append(all.Regained, u.Regained...)
	}
	n.directoryChanged(all, now)
}

// resync asks a peer for all its claims again, since some were not taken, when it
// may have as many checked as it may claim.
func (n *Node) resync(p *peer, now time.Time) {
	if p.missed && p.serving != nil && p.records.TokensAt(now) >= resyncTokens {
		p.missed = false
		p.serving.tell(control.Resync, nil, now)
	}
}

// sayAll tells a peer all that is ours, from the beginning.
func (n *Node) sayAll(p *peer, now time.Time) {
	p.asked, p.saidAll = false, now
	p.outbox.add(n.directory.Own(now))
	n.tellClaims(p, now)
}

// sayAgain does what a peer has asked for, once in a while however often it asks.
func (n *Node) sayAgain(p *peer, now time.Time) {
	if p.asked && p.serving != nil && now.Sub(p.saidAll) >= resyncPause {
		n.sayAll(p, now)
	}
}

var errTooManyRecords = errors.New("it announces more addresses than are checked at once")

// record takes one record, which node from says over its present session, and charges the
// peer for the check of its signature.
func (n *Node) record(p *peer, from nodeid.ID, r []byte, now time.Time) directory.Update {
	repeated := n.directory.Stats().Repeated
	ours := n.directory.OwnSince(r)
	result, err := n.directory.ApplyFrom(from, r, now, n.keyOf)
	switch {
	case err != nil:
		n.drops.record.Add(1)
		n.complain(p.member, err, "announcement refused", now)
		if errors.Is(err, directory.ErrSignature) || errors.Is(err, directory.ErrIdentity) || errors.Is(err, directory.ErrTooMany) {
			p.records.AllowN(now, 1)
		}
	case result.Stale && result.Claim.Owner != n.id, n.directory.Stats().Repeated != repeated:
		// known, hence not checked
	default:
		p.records.AllowN(now, 1)
		n.stirred = true
	}
	if result.Conflict != nil {
		n.drops.conflict.Add(1)
		n.accuse(result, ours, now)
	}
	return result.Update
}

// accuse names a member that claims what is another's and must know it: this node's own,
// since a session with the member began long ago and the claim was made in it. What
// others hold it may not have heard of.
func (n *Node) accuse(r directory.Result, ours time.Time, now time.Time) {
	p := n.peers[r.Claim.Owner]
	switch {
	case p == nil || p.serving == nil || now.Sub(p.since) < youth:
	case r.Conflict.Reserved:
		n.complain(p.member, n.explain(r.Conflict), "it claims what this engine's configuration keeps for another", now)
	case r.Conflict.Owner == n.id && !ours.IsZero() && now.Sub(ours) >= youth:
		n.complain(p.member, n.explain(r.Conflict), "it claims what this engine has", now)
	}
}

// youth is how long a session and a claim of ours count as young: a member may have
// claimed before it knew.
const youth = time.Minute

func (n *Node) keyOf(id nodeid.ID) (ed25519.PublicKey, bool) {
	m, ok := n.members[id]
	return m.Key, ok
}
