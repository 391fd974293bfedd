package member

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/sirupsen/logrus"

	"evio/internal/store"
)

const (
	// maxOffered bounds the identities that are remembered for having been refused.
	maxOffered = 256
	// maxPins bounds the pins. They outlive the membership of their accounts, and a server
	// can list new accounts all day.
	maxPins = 16384
)

// pins binds bare JIDs to identities, one file each. A pin stays when its account leaves
// all lists: otherwise who writes the lists could replace it, by taking the account out and
// putting it back. Its methods may be called from any goroutine.
type pins struct {
	store *store.Store
	log   *logrus.Entry

	changing sync.Mutex // held over I/O, so that disk and memory change alike

	mu      sync.Mutex
	known   map[string]pin
	offered *simplelru.LRU[string, pin] // by JID, the last other identity that it showed
	unkept  map[string]error            // by JID, why its pin is not on disk
	damaged map[string]string           // by place, a sentence for each pin that cannot be read
}

// pin is an identity and since when it is known.
type pin struct {
	key  ed25519.PublicKey
	seen time.Time
}

// faults says, one sentence each, which pins are not as they should be.
func (p *pins) faults() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []string
	for _, at := range slices.Sorted(maps.Keys(p.damaged)) {
		all = append(all, p.damaged[at])
	}
	for _, jid := range slices.Sorted(maps.Keys(p.unkept)) {
		all = append(all, fmt.Sprintf("a pin is not on disk, holds until the plugin ends and is written once that is possible: %v", p.unkept[jid]))
	}
	if len(p.known) >= maxPins {
		all = append(all, errTooManyPins.Error())
	}
	return all
}

var errTooManyPins = fmt.Errorf("%d identities are pinned, which is the most, and new accounts are refused: forget accounts that are gone by evio peers forget", maxPins)

func (p *pins) get(jid string) (ed25519.PublicKey, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k, ok := p.known[jid]
	return k.key, ok
}

// check pins the key for the JID if it has none and never had one. Any other one is refused
// and remembered as offered. A pin that the disk does not take holds all the same, and is
// written as soon as a later check finds that the disk takes it.
func (p *pins) check(jid string, key ed25519.PublicKey) error {
	p.changing.Lock()
	defer p.changing.Unlock()
	p.rewrite()
	now := time.Now().UTC()
	p.mu.Lock()
	pinned, err := p.refusalLocked(jid, key)
	switch {
	case err == nil && !pinned:
		p.known[jid] = pin{key, now}
	case err != nil && !errors.Is(err, errTooManyPins):
		p.offered.Add(jid, pin{key, now})
	}
	p.mu.Unlock()
	if err != nil || pinned {
		return err
	}
	if err := p.keep(jid, pin{key, now}); err != nil {
		p.log.WithError(err).WithField("peer", jid).Error("pin of a peer is not on disk")
		p.mu.Lock()
		p.unkept[jid] = err
		p.mu.Unlock()
	}
	return nil
}

// refusal returns why an account may not have the key, nil if it may.
func (p *pins) refusal(jid string, key ed25519.PublicKey) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := p.refusalLocked(jid, key)
	return err
}

func (p *pins) refusalLocked(jid string, key ed25519.PublicKey) (pinned bool, err error) {
	known, pinned := p.known[jid]
	switch {
	case pinned && known.key.Equal(key):
		return true, nil
	case pinned: // without the refused fingerprint, which somebody might paste
		return true, fmt.Errorf("%s shows another identity than %s, which is pinned: if its engine was set up anew, %s", jid, Fingerprint(known.key), HowToAccept(jid))
	case p.damaged[place(jid)] != "":
		return false, fmt.Errorf("%s is refused, because the pin of its identity is damaged: %s", jid, HowToAccept(jid))
	case len(p.known) >= maxPins:
		return false, fmt.Errorf("%s is refused: %w", jid, errTooManyPins)
	}
	return false, nil
}

// HowToAccept says how an operator finds out which identity is an account's own, and
// accepts it. It is the end of a sentence.
func HowToAccept(jid string) string {
	return fmt.Sprintf("let its operator read out to you, not through this XMPP server, the identity that evio status prints there, and run: evio peers accept %s IDENTITY", jid)
}

// accept pins the identity with the fingerprint if it is the one that was last refused.
func (p *pins) accept(jid, fingerprint string) error {
	p.changing.Lock()
	defer p.changing.Unlock()
	p.mu.Lock()
	o, ok := p.offered.Peek(jid)
	p.mu.Unlock()
	switch {
	case fingerprint == "":
		return fmt.Errorf("which identity %s has must be said: %s", jid, HowToAccept(jid))
	case !ok:
		return fmt.Errorf("%s has shown no other identity than the pinned one since the plugin was started: there is nothing to accept", jid)
	case fingerprint != Fingerprint(o.key):
		return fmt.Errorf("%s shows identity %s by now, not %s: find out which is its own, see evio peers list", jid, Fingerprint(o.key), fingerprint)
	}
	if err := p.keep(jid, o); err != nil {
		return fmt.Errorf("%w: mend that and accept the identity again", err)
	}
	_ = p.store.Discard(Folder, jid) // does nothing beside a pin
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known[jid] = o
	p.offered.Remove(jid)
	delete(p.unkept, jid)
	delete(p.damaged, place(jid))
	return nil
}

// rewrite puts those pins on the disk that it did not take before, until one fails.
func (p *pins) rewrite() {
	p.mu.Lock()
	due := make(map[string]pin, len(p.unkept))
	for jid := range p.unkept {
		due[jid] = p.known[jid]
	}
	p.mu.Unlock()
	for jid, k := range due {
		if p.keep(jid, k) != nil {
			return
		}
		p.mu.Lock()
		delete(p.unkept, jid)
		p.mu.Unlock()
	}
}

// has reports whether there is a pin of the account, whole or damaged.
func (p *pins) has(jid string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, pinned := p.known[jid]
	return pinned || p.damaged[place(jid)] != ""
}

// forget removes a pin and what was offered; one that is not there is no error.
func (p *pins) forget(jid string) error {
	p.changing.Lock()
	defer p.changing.Unlock()
	err := p.store.Delete(Folder, jid)
	if err == nil { // otherwise what was set aside still refuses the account after a restart
		err = p.store.Discard(Folder, jid)
	}
	if err != nil {
		return fmt.Errorf("forget pin of %s: %w", jid, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.known, jid)
	p.offered.Remove(jid)
	delete(p.unkept, jid)
	delete(p.damaged, place(jid))
	return nil
}
