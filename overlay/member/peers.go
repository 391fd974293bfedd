package member

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	"evio/overlay/nodeid"
)

// Peer is an account whose identity is pinned.
type Peer struct {
	JID          string
	Identity     string    // fingerprint of the identity that is pinned; "": the pin is damaged
	Since        time.Time // when it was first seen, or accepted as offered
	Offered      string    // fingerprint of the other identity that was last refused, or ""
	OfferedSince time.Time // when that was last shown
}

// Fingerprint is an identity as operators compare it: 32 hexadecimal digits.
func Fingerprint(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:16])
}

// Peers returns the accounts whose identity is pinned, members or not, and those who are
// refused because their pin is damaged, sorted by JID.
func (b *Book) Peers() []Peer {
	b.pins.mu.Lock()
	defer b.pins.mu.Unlock()
	all := maps.Clone(b.pins.known)
	for _, jid := range b.pins.offered.Keys() {
		all[jid] = b.pins.known[jid]
	}
	list := make([]Peer, 0, len(all))
	for _, jid := range slices.Sorted(maps.Keys(all)) {
		p := Peer{JID: jid}
		if known := all[jid]; known.key != nil {
			p.Identity, p.Since = Fingerprint(known.key), known.seen
		}
		if o, ok := b.pins.offered.Peek(jid); ok {
			p.Offered, p.OfferedSince = Fingerprint(o.key), o.seen
		}
		list = append(list, p)
	}
	return list
}

// Identity returns the fingerprint of this engine's own identity.
func (b *Book) Identity() string { return Fingerprint(b.self) }

// Accept pins the identity of an account that was last refused if it is the one with the
// fingerprint.
func (b *Book) Accept(jid, fingerprint string) error {
	jid = bare(jid)
	if err := b.pins.accept(jid, fingerprint); err != nil {
		return err
	}
	b.log.WithField("peer", jid).WithField("identity", fingerprint).Info("signalling: other identity accepted")
	b.notifyAll()
	return nil
}

// Forget removes the pin of an account. The identity that the account shows now is
// pinned, or, if it is offline, the next one it shows.
func (b *Book) Forget(jid string) error {
	jid = bare(jid)
	if !b.pins.has(jid) {
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

// Node returns the node that an account has in an overlay: by this engine's identity if
// it is one of its accounts, otherwise by the pinned one, if there is.
func (b *Book) Node(overlay, jid string) (nodeid.ID, bool) {
	jid = bare(jid)
	b.mu.Lock()
	own := slices.ContainsFunc(b.services, func(s *Service) bool { return s.jid == jid })
	b.mu.Unlock()
	key := b.self
	if !own {
		var pinned bool
		if key, pinned = b.pins.get(jid); !pinned {
			return nodeid.ID{}, false
		}
	}
	return nodeid.FromKey(key, overlay), true
}
