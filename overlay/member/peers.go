package member

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Peer is an account whose identity is pinned.
type Peer struct {
	JID          string
	Identity     string    // fingerprint of the identity that is pinned
	Since        time.Time // when it was first seen, or accepted as offered
	Offered      string    // fingerprint of the other identity that was last refused, or ""
	OfferedSince time.Time // when that was last shown
}

// Fingerprint is an identity as operators compare it: 32 hexadecimal digits.
func Fingerprint(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:16])
}

// Peers returns the accounts whose identity is pinned, sorted by JID.
func (b *Book) Peers() []Peer {
	b.pins.mu.Lock()
	defer b.pins.mu.Unlock()
	list := make([]Peer, 0, len(b.pins.known))
	for _, jid := range slices.Sorted(maps.Keys(b.pins.known)) {
		known := b.pins.known[jid]
		p := Peer{JID: jid, Identity: Fingerprint(known.key), Since: known.seen}
		if o, ok := b.pins.offered[jid]; ok {
			p.Offered, p.OfferedSince = Fingerprint(o.key), o.seen
		}
		list = append(list, p)
	}
	return list
}

// Accept pins the identity of an account that was last refused, whichever that is.
func (b *Book) Accept(jid string) error {
	_, err := b.AcceptIdentity(jid, "")
	return err
}

// AcceptIdentity pins the identity of an account that was last refused if it is the one
// with the fingerprint, and returns that. With "" it is whichever was last refused.
func (b *Book) AcceptIdentity(jid, fingerprint string) (accepted string, err error) {
	jid = bare(jid)
	if accepted, err = b.pins.accept(jid, fingerprint); err != nil {
		return "", err
	}
	b.log.WithField("peer", jid).WithField("identity", accepted).Info("signalling: other identity accepted")
	b.notifyAll()
	return accepted, nil
}

// Forget removes the pin of an account. The identity that the account shows now is
// pinned, or, if it is offline, the next one it shows.
func (b *Book) Forget(jid string) error {
	jid = bare(jid)
	if _, pinned := b.pins.get(jid); !pinned {
		return fmt.Errorf("no identity is pinned for %s: see evio peers list", jid)
	}
	if err := b.pins.forget(jid); err != nil {
		return err
	}
	b.log.WithField("peer", jid).Info("signalling: pin forgotten")
	if key := b.shown(jid); key != nil {
		if err := b.pins.check(jid, key); err != nil {
			return err
		}
	}
	b.notifyAll()
	return nil
}

// shown returns the identity in the newest presence of an account that may be pinned.
func (b *Book) shown(jid string) ed25519.PublicKey {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.services {
		if list := s.online[jid]; len(list) > 0 && s.allowedLocked(jid) {
			return list[len(list)-1].ext.Key
		}
	}
	return nil
}
