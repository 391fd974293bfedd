package overlay

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"time"

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

// announced takes records that a peer sent. What a peer says beyond its limit is
// lost for this session, so that ends: the next one begins with all there is to say,
// of which the part that is known by then costs nothing.
func (n *Node) announced(p *peer, a *attempt, payload []byte, now time.Time) {
	records, err := splitRecords(payload)
	if err != nil {
		n.drops.record.Add(1)
		return
	}
	var all directory.Update
	for i, r := range records {
		if !p.records.left(now, recordRate, recordBurst) {
			n.drops.tooMany.Add(uint64(len(records) - i))
			n.blame(p.member, errTooManyRecords, "session ends", now)
			a.session.Close()
			break
		}
		u := n.record(p, r, now)
		all.Announce = append(all.Announce, u.Announce...)
		all.Changes = append(all.Changes, u.Changes...)
		all.Lost = append(all.Lost, u.Lost...)
		all.Regained = append(all.Regained, u.Regained...)
	}
	n.directoryChanged(all, now)
}

var errTooManyRecords = errors.New("it announces more addresses than are checked at once")

// record takes one record and charges the peer for the check of its signature.
func (n *Node) record(p *peer, r []byte, now time.Time) directory.Update {
	repeated := n.directory.Stats().Repeated
	result, err := n.directory.Apply(r, now, n.keyOf)
	switch {
	case err != nil:
		n.drops.record.Add(1)
		n.blame(p.member, err, "announcement refused", now)
		if errors.Is(err, directory.ErrSignature) || errors.Is(err, directory.ErrIdentity) || errors.Is(err, directory.ErrTooMany) {
			p.records.take()
		}
	case result.Stale && result.Claim.Owner != n.id, n.directory.Stats().Repeated != repeated:
		// known, hence not checked
	default:
		p.records.take()
	}
	if result.Conflict != nil {
		n.drops.conflict.Add(1)
		n.blame(p.member, n.explain(result.Conflict), "two nodes claim one address", now)
	}
	return result.Update
}

func (n *Node) keyOf(id nodeid.ID) (ed25519.PublicKey, bool) {
	m, ok := n.members[id]
	return m.Key, ok
}

// bucket is a token bucket. The zero value is full.
type bucket struct {
	used float64 // tokens taken and not yet refilled
	last time.Time
}

// left refills a bucket of burst tokens at rate per second and reports whether it has
// one. A clock that goes back refills nothing.
func (b *bucket) left(now time.Time, rate, burst float64) bool {
	if !b.last.IsZero() {
		b.used = max(0, b.used-rate*max(0, now.Sub(b.last).Seconds()))
	}
	b.last = now
	return b.used+1 <= burst
}

func (b *bucket) take() { b.used++ }
