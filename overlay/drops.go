package overlay

import (
	"errors"
	"sync/atomic"

	"evio/overlay/contact"
)

// drops counts what a node did not use or could not send, by cause.
type drops struct {
	envelope   envelopeDrops
	outgoing   atomic.Uint64 // envelopes while the signalling service was too slow
	control    atomic.Uint64 // control frames that were malformed or not sent
	ring       atomic.Uint64 // ring messages beyond what a peer may say
	site       atomic.Uint64 // descriptions of sites that were malformed, or beyond what a peer may say
	clock      atomic.Uint64 // messages on clocks that were malformed, or beyond what a peer may say
	move       atomic.Uint64 // questions and answers on claims that are to move, malformed or beyond what a peer may say
	record     atomic.Uint64 // directory records that were refused
	tooMany    atomic.Uint64 // directory records beyond what a peer may have checked
	conflict   atomic.Uint64 // directory records that claim what another node holds
	lost       atomic.Uint64 // own addresses that another node took over
	flood      atomic.Uint64 // floods that were malformed, or of a stranger
	floodSend  atomic.Uint64 // copies of floods for a neighbour without a session, or whose session did not take them
	notOrigin  atomic.Uint64 // flooded frames whose source MAC belongs to another node than their origin
	queue      atomic.Uint64 // input while too much waited for the node
	peerQueue  atomic.Uint64 // input of a session while too much of it waited for the node
	floodQueue atomic.Uint64 // floods, of this node or brought by a neighbour, while too many of it waited
}

// envelopeDrops counts first contacts that came to nothing, by what is wrong with the
// envelope.
type envelopeDrops struct {
	malformed atomic.Uint64 // or of another version, or for another node
	stranger  atomic.Uint64 // from somebody who is not a member
	identity  atomic.Uint64 // of another identity than the member's, or with another node ID than the identity's
	time      atomic.Uint64 // expired, or from the future
	signature atomic.Uint64
	tooMany   atomic.Uint64 // beyond what an engine sends
	replayed  atomic.Uint64 // received before, or of an attempt that was given up
}

// refused counts the reason for which an envelope did not verify.
func (d *envelopeDrops) refused(err error) {
	switch {
	case errors.Is(err, errIdentity), errors.Is(err, contact.ErrSender), errors.Is(err, contact.ErrSelf):
		d.identity.Add(1)
	case errors.Is(err, contact.ErrTime):
		d.time.Add(1)
	case errors.Is(err, contact.ErrSignature):
		d.signature.Add(1)
	default:
		d.malformed.Add(1)
	}
}

// byCause returns the counters that are not zero.
func (d *drops) byCause() map[string]uint64 {
	all := map[string]uint64{
		"envelope-malformed": d.envelope.malformed.Load(), "envelope-stranger": d.envelope.stranger.Load(),
		"envelope-identity": d.envelope.identity.Load(), "envelope-expired": d.envelope.time.Load(),
		"envelope-signature": d.envelope.signature.Load(), "envelope-replayed": d.envelope.replayed.Load(), "envelope-limit": d.envelope.tooMany.Load(),
		"letters": d.outgoing.Load(), "control": d.control.Load(), "ring-limit": d.ring.Load(), "site": d.site.Load(), "move": d.move.Load(), "clock": d.clock.Load(),
		"directory-record": d.record.Load(), "directory-limit": d.tooMany.Load(),
		"address-conflict": d.conflict.Load(), "address-lost": d.lost.Load(), "flood": d.flood.Load(), "flood-not-sent": d.floodSend.Load(),
		"flood-source-not-origin": d.notOrigin.Load(),
		"node-queue-full":         d.queue.Load(), "peer-queue-full": d.peerQueue.Load(),
		"flood-queue-full": d.floodQueue.Load(),
	}
	for k, v := range all {
		if v == 0 {
			delete(all, k)
		}
	}
	return all
}
