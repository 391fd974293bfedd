package directory

import (
	"crypto/ed25519"
	"fmt"
	"maps"
	"slices"
	"time"

	"evio/overlay/nodeid"
)

// Result is what came of a record.
type Result struct {
	Update
	Claim Claim
	// Stale: the owner has said something newer since.
	Stale bool
	// Conflict is set when the record claims what another node holds, which may be us.
	Conflict *ConflictError
}

// Apply takes a record of another node, whoever brought it. keyOf returns the
// public key of a member. A record with an error has changed nothing.
func (d *Directory) Apply(record []byte, now time.Time, keyOf func(nodeid.ID) (ed25519.PublicKey, bool)) (Result, error) {
	c, pub, err := d.examine(record, now, keyOf)
	if err != nil {
		d.stats.Invalid++
		return Result{}, err
	}
	r := Result{Claim: c}
	k := c.Key()
	known := d.places[k].of(c.Owner)
	switch {
	case c.Owner == d.self:
		// Ours, come back. Only a newer one tells that somebody else signs as we do.
		if c.Sequence > d.sequence && verify(pub, d.overlay, record) {
			d.stats.Invalid++
			return Result{}, ErrIdentity
		}
		r.Stale = true
	case d.nodes[c.Owner] != nil && c.Sequence < d.nodes[c.Owner].floor:
		r.Stale = true
	case known != nil && c.Sequence < known.Sequence:
		r.Stale = true
	case known != nil && c.Sequence == known.Sequence:
		// Said again, which counts when a session has begun since. What is kept was
		// verified; this copy need not be.
		r.Claim = known.Claim
		d.stats.Repeated++
		d.settle(k, now, &r.Update)
	default:
		if err := d.store(c, record, pub, now, &r.Update); err != nil {
			d.stats.Invalid++
			return Result{}, err
		}
		d.stats.Applied++
	}
	if r.Stale {
		d.stats.Stale++
		return r, nil
	}
	if p := d.places[k]; p != nil && !r.Claim.Withdrawn && p.holder != c.Owner {
		r.Conflict = &ConflictError{Key: k, Owner: p.holder}
		d.stats.Conflicts++
	}
	return r, nil
}

// examine decodes a record and checks all but its signature. It returns the key to
// check that with.
func (d *Directory) examine(record []byte, now time.Time, keyOf func(nodeid.ID) (ed25519.PublicKey, bool)) (Claim, ed25519.PublicKey, error) {
	c, err := parse(record)
	if err != nil {
		return Claim{}, nil, err
	}
	if !timely(c.Expiry, now) {
		return Claim{}, nil, ErrTime
	}
	if !d.inside(c.Addr) {
		return Claim{}, nil, fmt.Errorf("%w: %v", ErrSubnet, c.Addr)
	}
	if c.Owner == d.self {
		return c, publicKey(d.priv), nil
	}
	pub, ok := keyOf(c.Owner)
	if !ok || len(pub) != ed25519.PublicKeySize || nodeid.FromKey(pub, d.overlay) != c.Owner {
		return Claim{}, nil, fmt.Errorf("%w: %v", ErrMember, c.Owner)
	}
	return c, pub, nil
}

// store verifies a record that is news and keeps its claim.
func (d *Directory) store(c Claim, record []byte, pub ed25519.PublicKey, now time.Time, u *Update) error {
	if !verify(pub, d.overlay, record) {
		return ErrSignature
	}
	n := d.node(c.Owner, now)
	k := c.Key()
	if k == (Key{}) {
		n.floor = c.Sequence
		d.purge(now, u, func(old Claim) bool { return old.Owner == c.Owner && old.Sequence < n.floor })
		return nil
	}
	known := d.places[k].of(c.Owner)
	if n.live >= MaxClaims && !c.Withdrawn && (known == nil || known.Withdrawn) {
		return fmt.Errorf("%w: node %v, %d", ErrTooMany, c.Owner, MaxClaims)
	}
	if known != nil {
		n.count(known.Claim, -1)
		*known = claimed{Claim: c}
	} else {
		p := d.place(k, now)
		p.claims = append(p.claims, claimed{Claim: c})
	}
	n.count(c, 1)
	if c.Withdrawn {
		d.forget(c.Owner)
	}
	d.settle(k, now, u)
	return nil
}

func (n *node) count(c Claim, by int) {
	if c.Withdrawn {
		n.withdrawn += by
	} else {
		n.live += by
	}
}

// purge removes the claims that match and settles their keys, in order.
func (d *Directory) purge(now time.Time, u *Update, match func(Claim) bool) int {
	removed := 0
	for _, k := range slices.SortedFunc(maps.Keys(d.places), Key.compare) {
		p := d.places[k]
		if p == nil { // went with one before
			continue
		}
		before := len(p.claims)
		p.claims = slices.DeleteFunc(p.claims, func(c claimed) bool {
			if !match(c.Claim) {
				return false
			}
			if n := d.nodes[c.Owner]; n != nil {
				n.count(c.Claim, -1)
			}
			return true
		})
		if len(p.claims) != before {
			removed += before - len(p.claims)
			d.settle(k, now, u)
		}
	}
	return removed
}

func publicKey(priv ed25519.PrivateKey) ed25519.PublicKey {
	return ed25519.PublicKey(priv[ed25519.PrivateKeySize-ed25519.PublicKeySize:])
}
