package session

import (
	"sync"
	"sync/atomic"
	"time"

	"evio/datapath/record"
)

// keyring holds the keys of a session, of up to three generations. Records are
// sent under the current ones and received under all:
//
//	pending ──first valid record under them──> current ──the next become current──> previous
//
// The pending ones are those that the newest rekey has made. An end that has sent
// a record under its pending keys keeps them until they are current or the peer
// has shown that it does without them: so the peer may switch at any time.
//
// Readers see an immutable set behind an atomic pointer. The zero value is empty.
type keyring struct {
	mu  sync.Mutex // makes changes one at a time
	set atomic.Pointer[keyset]
}

// keyset is never changed once it is in the ring.
type keyset struct {
	current, pending, previous *record.Keys

	terms    record.Secrets // what all keys of the session have in common: neither exporter's secret nor salt
	switches uint64         // how many keys have become current after the first
	switched time.Time      // when the last of them did
}

// load returns the keys, nil if there are none.
func (r *keyring) load() *keyset { return r.set.Load() }

// sending returns the current keys, nil if there are none.
func (r *keyring) sending() *record.Keys {
	if set := r.set.Load(); set != nil {
		return set.current
	}
	return nil
}

// open opens a record with the keys of its generation, which it returns. They are
// nil if there are no keys at all.
func (r *keyring) open(datagram []byte) (plain []byte, keys *record.Keys, err error) {
	set := r.set.Load()
	if set == nil {
		return nil, nil, nil
	}
	keys = set.of(record.Generation(datagram))
	plain, err = keys.Open(datagram)
	return plain, keys, err
}

// of returns the keys of a generation; where there are none, the current ones,
// which will refuse the record.
func (s *keyset) of(generation uint8) *record.Keys {
	switch {
	case s.current.Generation == generation:
	case s.pending != nil && s.pending.Generation == generation:
		return s.pending
	case s.previous != nil && s.previous.Generation == generation:
		return s.previous
	}
	return s.current
}

// begin puts the first keys in place of all there are. Secrets are those that the
// keys were made from.
func (r *keyring) begin(keys *record.Keys, secrets record.Secrets) {
	r.mu.Lock()
	defer r.mu.Unlock()
	secrets.Exporter, secrets.Salt = nil, nil
	r.set.Store(&keyset{current: keys, terms: secrets})
}

// change puts a changed copy of the set in its place.
func (r *keyring) change(how func(*keyset)) {
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

// expect makes keys the pending ones, nil for none.
func (r *keyring) expect(keys *record.Keys) { r.change(func(s *keyset) { s.pending = keys }) }

// wipe forgets the previous keys.
func (r *keyring) wipe() { r.change(func(s *keyset) { s.previous = nil }) }

// clear forgets everything.
func (r *keyring) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.set.Store(nil)
}

// confirm is called by the reader with the keys of each valid record: the peer has
// them.
// Pending ones become current, which switched tells. It returns false for keys
// that have left the ring meanwhile.
func (r *keyring) confirm(keys *record.Keys) (switched, valid bool) {
	if set := r.set.Load(); set != nil && (keys == set.current || keys == set.previous) {
		return false, true
	}
	r.change(func(s *keyset) {
		if keys != s.pending {
			return
		}
		s.current, s.previous, s.pending = s.pending, s.current, nil
		s.switches++
		s.switched = time.Now()
		switched, valid = true, true
	})
	return switched, valid
}
