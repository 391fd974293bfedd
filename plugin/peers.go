package main

import (
	"errors"

	"evio/driver/status"
	"evio/overlay/member"
)

var _ status.Peers = peers{}

var errNoPeers = errors.New("evio keeps no peers while its settings are at fault: see faults in the status, mend that and enable the plugin again")

// peers lets the status server ask the book, which is nil while there is a fault.
type peers struct{ book *member.Book }

// Peers implements status.Peers.
func (p peers) Peers() ([]status.Peer, error) {
	if p.book == nil {
		return nil, errNoPeers
	}
	var list []status.Peer
	for _, known := range p.book.Peers() {
		list = append(list, status.Peer(known))
	}
	return list, nil
}

// Accept implements status.Peers.
func (p peers) Accept(jid, identity string) error {
	if p.book == nil {
		return errNoPeers
	}
	return p.book.Accept(jid, identity)
}

// Forget implements status.Peers.
func (p peers) Forget(jid string) error {
	if p.book == nil {
		return errNoPeers
	}
	return p.book.Forget(jid)
}
