package overlay

import "sync/atomic"

// drops counts what a node did not use or could not send, by cause.
type drops struct {
	envelope  atomic.Uint64 // first contact that did not verify
	letters   atomic.Uint64 // envelopes while the signalling service was too slow
	control   atomic.Uint64 // control frames that were malformed or not sent
	record    atomic.Uint64 // directory records that were refused
	tooMany   atomic.Uint64 // directory records beyond what a peer may have checked
	conflict  atomic.Uint64 // directory records that claim what another node holds
	lost      atomic.Uint64 // own addresses that another node took over
	flood     atomic.Uint64 // floods that were malformed, of a stranger, or could not be handed on
	notOrigin atomic.Uint64 // flooded frames whose source MAC belongs to another node than their origin
	queue     atomic.Uint64 // input while too much waited for the node
}

// byCause returns the counters that are not zero.
func (d *drops) byCause() map[string]uint64 {
	all := map[string]uint64{
		"envelope": d.envelope.Load(), "letters": d.letters.Load(), "control": d.control.Load(),
		"directory-record": d.record.Load(), "directory-limit": d.tooMany.Load(),
		"address-conflict": d.conflict.Load(), "address-lost": d.lost.Load(), "flood": d.flood.Load(),
		"flood-source-not-origin": d.notOrigin.Load(), "node-queue-full": d.queue.Load(),
	}
	for k, v := range all {
		if v == 0 {
			delete(all, k)
		}
	}
	return all
}
