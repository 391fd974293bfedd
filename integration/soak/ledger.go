package soak

import (
	"fmt"
	"maps"
	"time"

	"evio/driver/status"
)

// undecrypted are the causes of drops of records that were not decrypted.
var undecrypted = []string{"record_forged", "record_replayed", "record_slot", "record_keys"}

// slotLimit is how many records under new keys may come before these keys are known, per rekey.
// The higher end has them first, and sends a probe under them every 200 ms (docs/PROTOCOL.md,
// Rekeying).
const slotLimit = 5

// tunnel names one session as one of its ends has it.
type tunnel struct {
	site        string
	peer        string // JID
	established time.Time
}

func (n tunnel) String() string {
	return fmt.Sprintf("the session of %s with %s since %s", n.site, n.peer, n.established.Format(time.TimeOnly))
}

// count is what a session has done so far.
type count struct {
	rekeys, frames uint64
	drops          map[string]uint64
}

// ledger keeps the latest counts of each session, also of those that have ended.
type ledger map[tunnel]count

// add notes what a site's document says of a network.
func (l ledger) add(site string, n status.Network) {
	for _, s := range n.Sessions {
		if !s.Established.IsZero() {
			l[tunnel{site, s.JID, s.Established}] = count{s.Rekeys, s.RxFrames, maps.Clone(s.Drops)}
		}
	}
}

func (l ledger) clone() ledger { return maps.Clone(l) }

// faults says what was not decrypted since an earlier moment, in sessions that concern the caller.
func (l ledger) faults(since ledger, concerns func(tunnel) bool) (all []error) {
	for n, now := range l {
		if !concerns(n) {
			continue
		}
		was := since[n]
		rekeys := now.rekeys - was.rekeys
		for _, cause := range undecrypted {
			var most uint64
			if cause == "record_slot" { // one rekey may be under way
				most = slotLimit * (rekeys + 1)
			}
			if more := now.drops[cause] - was.drops[cause]; more > most {
				all = append(all, fmt.Errorf("%v: %d records dropped as %s, want at most %d with %d rekeys and %d frames received",
					n, more, cause, most, rekeys, now.frames-was.frames))
			}
		}
	}
	return all
}

// added are the sessions that were not there at an earlier moment.
func (l ledger) added(since ledger) (all []tunnel) {
	for n := range l {
		if _, known := since[n]; !known {
			all = append(all, n)
		}
	}
	return all
}
