package rekey

import (
	"sync"
	"sync/atomic"
	"time"

	"evio/datapath/record"
)

// Keyring holds the keys of a session, of up to three generations. Records are
// sent under the current ones and received under all:
//
//	pending ──first valid record under them──> current ──the next become current──> previous
//
// The newest rekey has made the pending ones. An end that has sent a record under its
// pending keys keeps them until they are current, or until the peer has shown that it does
// not use them. So the peer may switch at any time.
//
// Readers see an immutable set behind an atomic pointer, so all methods but Open may be called
// by several goroutines at once. The zero value is empty.
type Keyring struct {
	mu  sync.Mutex // makes changes one at a time
	set atomic.Pointer[KeySet]
}

// KeySet is the keys that are in use at one time. A set is never changed once it is in the
// ring.
type KeySet struct {
	Current, Pending, Previous *record.Keys

	Terms    record.Secrets // what all keys of the session have in common; it has no exporter secret and no salt
	Switches uint64         // how often pending keys have become current
	Switched time.Time      // when they last did
}

// Load returns the set in use, nil if there are no keys.
func (r *Keyring) Load() *KeySet { return r.set.Load() }

// Sending returns the keys to send under, nil if there are none.
func (r *Keyring) Sending() *record.Keys {
	if set := r.set.Load(); set != nil {
		return set.Current
	}
	return nil
}

// Open opens a record with the keys of its generation, and returns those keys. They are nil
// if there are no keys at all. Calls must not overlap, since they change replay windows.
func (r *Keyring) Open(datagram []byte) (plain []byte, keys *record.Keys, err error) {
	set := r.set.Load()
	if set == nil {
		return nil, nil, nil
	}
	keys = set.of(record.Generation(datagram))
	plain, err = keys.Open(datagram)
	return plain, keys, err
}

// of returns the keys of a generation. If there are none it returns the current ones, which
// will refuse the record.
func (s *KeySet) of(generation uint8) *record.Keys {
	switch {
	case s.Current.Generation == generation:
	case s.Pending != nil && s.Pending.Generation == generation:
		return s.Pending
	case s.Previous != nil && s.Previous.Generation == generation:
		return s.Previous
	}
	return s.Current
}

// Begin replaces all keys by the first ones of a session. secrets are what the keys were made
// from.
func (r *Keyring) Begin(keys *record.Keys, secrets record.Secrets) {
	r.mu.Lock()
	defer r.mu.Unlock()
	secrets.Exporter, secrets.Salt = nil, nil
	r.set.Store(&KeySet{Current: keys, Terms: secrets})
}

// change replaces the set by a changed copy.
func (r *Keyring) change(how func(*KeySet)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.set.Load()
	if old == nil {
		return
	}
	set := *old
	how(&set)
	r.set.Store(&set)
}

// Expect makes keys the pending ones, nil for none.
func (r *Keyring) Expect(keys *record.Keys) { r.change(func(s *KeySet) { s.Pending = keys }) }

// Wipe forgets the previous keys.
func (r *Keyring) Wipe() { r.change(func(s *KeySet) { s.Previous = nil }) }

// Clear forgets everything.
func (r *Keyring) Clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.set.Store(nil)
}

// Confirm takes note that the peer has these keys, because a record under them is valid.
// Pending keys become current then, and switched is true; now gives the time of that. valid
// is false for keys that have left the ring meanwhile.
func (r *Keyring) Confirm(keys *record.Keys, now func() time.Time) (switched, valid bool) {
	if set := r.set.Load(); set != nil && (keys == set.Current || keys == set.Previous) {
		return false, true
	}
	r.change(func(s *KeySet) {
		if keys != s.Pending {
			return
		}
		s.Current, s.Previous, s.Pending = s.Pending, s.Current, nil
		s.Switches++
		s.Switched = now()
		switched, valid = true, true
	})
	return switched, valid
}
