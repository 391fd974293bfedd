package directory

import (
	"crypto/ed25519"
	"fmt"
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
	return d.ApplyFrom(nodeid.ID{}, record, now, keyOf)
}

// ApplyFrom is Apply for a record that node from has said over the session that it has
// now. What a node says there of itself is its last word: it is of its present life, even
// if that has a lower number than one before because a clock was set back.
func (d *Directory) ApplyFrom(from nodeid.ID, record []byte, now time.Time, keyOf func(nodeid.ID) (ed25519.PublicKey, bool)) (Result, error) {
	c, pub, err := d.examine(record, now, keyOf)
	if err == nil && from == c.Owner {
		err = d.present(c, record, pub)
	}
	if err != nil {
		d.stats.Invalid++
		return Result{}, err
	}
	r := Result{Claim: c}
	k := c.Key()
	known := d.keys[k].of(c.Owner)
	if known != nil && d.of(c.Owner).isVoid(known.Life) {
		known = nil
	}
	switch {
	case c.Owner == d.self:
		// Ours, come back. Only a newer one tells that somebody else signs as we do.
		if c.Sequence > d.sequence && verify(pub, d.overlay, record) {
			d.stats.Invalid++
			return Result{}, ErrIdentity
		}
		r.Stale = true
	case d.nodes[c.Owner] != nil && (c.Sequence < d.nodes[c.Owner].floor || d.nodes[c.Owner].isVoid(c.Life)):
		r.Stale = true
	case known != nil && c.Sequence < known.Sequence:
		r.Stale = true
	case known != nil && c.Sequence == known.Sequence:
		// Said again, which counts when a session has begun since. What is kept was
		// verified; this copy need not be.
		r.Claim = known.Claim
		d.stats.Repeated++
		d.said(k, known, known.Life)
		d.resolve(k, now, &r.Update)
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
	if p := d.keys[k]; p != nil && r.Claim.live() && p.holder != c.Owner {
		if r.Conflict = d.against(k, p, r.Claim); r.Conflict != nil {
			d.stats.Conflicts++
		}
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
	if !timely(c.Expiry, d.wall(now)) {
		return Claim{}, nil, ErrTime
	}
	if k := c.Key(); !d.inside(k) {
		return Claim{}, nil, fmt.Errorf("%w: %v", ErrSubnet, k)
	} else if k.isAddr() && d.special(k.Addr) {
		return Claim{}, nil, fmt.Errorf("%w: directory record for %v", ErrNobodys, k)
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
	known := d.keys[k].of(c.Owner)
	if err := n.room(c, known); err != nil {
		return err
	}
	n.life = max(n.life, c.Life)
	if k == (Key{}) {
		n.floor = c.Sequence
		d.purge(n, now, u, func(old *claimed) bool { return old.Sequence < n.floor || n.isVoid(old.Life) })
		return nil
	}
	if !c.Follows.IsZero() {
		c.Since = now.Add(c.Since.Sub(c.signed()))
	}
	next := claimed{Claim: c, until: now.Add(c.Expiry.Sub(d.wall(now)))}
	if known != nil && known.live() && c.live() {
		next.held, next.disputed, next.told = known.held, known.disputed, known.told
		d.said(k, &next, known.Life)
	} else {
		next.epoch = n.epoch
	}
	// What another node holds its owner cannot have handed out: a member that says so must
	// not keep it from moving.
	if p := d.keys[k]; c.Released && (p == nil || p.holder.IsZero() || p.holder == c.Owner) {
		next.quarantined = now.Add(quarantine)
		if age := d.wall(now).Sub(c.signed()); known == nil && age > 0 {
			next.quarantined = now.Add(quarantine - age) // heard late
		}
	}
	d.put(next, now)
	d.resolve(k, now, u)
	return nil
}

// present makes the life that a node speaks in, over its own session, its present one.
func (d *Directory) present(c Claim, record []byte, pub ed25519.PublicKey) error {
	n := d.nodes[c.Owner]
	if n == nil || c.Life >= n.life && !n.isVoid(c.Life) {
		return nil
	}
	if !verify(pub, d.overlay, record) {
		return ErrSignature
	}
	n.turn(c.Life)
	return nil
}

// said notes that a claim was said in the present session of its owner. What another one
// has taken since goes back only to the same life, and not after half an hour.
func (d *Directory) said(k Key, c *claimed, life uint64) {
	n := d.nodes[c.Owner]
	if c.epoch == n.epoch && c.Life == life {
		return
	}
	p := d.keys[k]
	if p.holder != c.Owner && !p.holder.IsZero() && (c.Life != life || n.gap >= memory) {
		c.held = time.Time{}
	}
	c.epoch = n.epoch
}

// room reports why a node may not claim this as well.
func (n *node) room(c Claim, known *claimed) error {
	if !c.live() || c.Key() == (Key{}) {
		return nil
	}
	k := c.Key()
	fresh := known == nil || !known.live()
	switch {
	case fresh && n.live >= MaxClaims:
		return fmt.Errorf("%w: node %v, %d", ErrTooMany, n.id, MaxClaims)
	case c.Taken && (fresh || !known.Taken) && n.taken >= MaxTaken:
		return fmt.Errorf("%w: node %v, %d by its containers themselves", ErrTooMany, n.id, MaxTaken)
	case k.Bits > 0 && fresh && n.ranges >= MaxRanges:
		return fmt.Errorf("%w: node %v, %d ranges", ErrTooMany, n.id, MaxRanges)
	case k.isAddr() && (fresh || known.MAC != c.MAC) && len(n.addrs[c.MAC]) >= maxPerMAC:
		return fmt.Errorf("%w: node %v, %d with one MAC address", ErrTooMany, n.id, maxPerMAC)
	}
	return nil
}

func publicKey(priv ed25519.PrivateKey) ed25519.PublicKey {
	return ed25519.PublicKey(priv[ed25519.PrivateKeySize-ed25519.PublicKeySize:])
}
