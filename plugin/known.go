package main

import "evio/internal/store"

// kindKnown is the folder, below that of the state, of what is known of claims.
const kindKnown = "claims"

// memory keeps what is known of claims, a file for each overlay.
type memory struct{ store *store.Store }

// knownRecord is the file's object.
type knownRecord struct {
	Known []byte `json:"known"`
}

// Known implements network.Memory.
func (m memory) Known(overlay string) ([]byte, error) {
	var r knownRecord
	err := recall(m.store, kindKnown, overlay, &r)
	return r.Known, err
}

// Keep implements network.Memory.
func (m memory) Keep(overlay string, known []byte) error {
	return m.store.Put(kindKnown, overlay, knownRecord{Known: known})
}

// Forget implements network.Memory.
func (m memory) Forget(overlay string) error { return m.store.Delete(kindKnown, overlay) }
