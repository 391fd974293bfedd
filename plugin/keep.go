package main

import (
	"encoding/json"
	"fmt"
	"time"

	"evio/internal/store"
	"evio/overlay/member"
	"evio/overlay/signal"
)

// Folders, below that of the state, of what is kept of lists of members and of XMPP servers.
const (
	kindLists  = "lists"
	kindLogins = "logins"
)

var (
	_ member.Ledger = ledger{}
	_ signal.Offers = offers{}
)

// ledger keeps when each list of members was last complete.
type ledger struct{ store *store.Store }

// listRecord is the file's object.
type listRecord struct {
	Confirmed time.Time `json:"confirmed"`
}

// Confirmed implements member.Ledger.
func (l ledger) Confirmed(list string) (time.Time, error) {
	var r listRecord
	err := recall(l.store, kindLists, list, &r)
	return r.Confirmed, err
}

// Keep implements member.Ledger.
func (l ledger) Keep(list string, at time.Time) error {
	return l.store.Put(kindLists, list, listRecord{at.UTC()})
}

// offers keeps what the server of an account has offered.
type offers struct {
	store *store.Store
	jid   string
}

// offerRecord is the file's object.
type offerRecord struct {
	Password    string `json:"password"`
	Certificate bool   `json:"certificate"`
}

// Best implements signal.Offers.
func (o offers) Best() (signal.Offer, error) {
	var r offerRecord
	err := recall(o.store, kindLogins, o.jid, &r)
	return signal.Offer(r), err
}

// Keep implements signal.Offers.
func (o offers) Keep(best signal.Offer) error {
	return o.store.Put(kindLogins, o.jid, offerRecord(best))
}

// recall reads a stored object into body, which it leaves alone if there is none.
func recall(from *store.Store, kind, id string, body any) error {
	b, err := from.Get(kind, id)
	if err != nil || b == nil {
		return err
	}
	if err := json.Unmarshal(b, body); err != nil {
		return fmt.Errorf("read stored %s of %s: %w", kind, id, err)
	}
	return nil
}
