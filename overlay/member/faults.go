package member

import (
	"fmt"
	"maps"
	"slices"
)

// Faults says, one sentence each, what keeps this engine or some of its members out
// of their overlays and what to do.
func (b *Book) Faults() []string {
	faults := b.pins.faults()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped != "" {
		faults = append(faults, b.stopped)
	}
	faults = append(faults, b.refusedLocked()...)
	now := b.now()
	for _, s := range b.services {
		faults = append(faults, s.agesLocked(now)...)
		for _, full := range slices.Sorted(maps.Keys(s.others)) {
			faults = append(faults, fmt.Sprintf("account %s is also used by the engine at %s, which has another identity: members hear only the one they knew first, give each engine an account of its own", s.jid, full))
		}
		for _, room := range slices.Sorted(maps.Keys(s.faults)) {
			faults = append(faults, fmt.Sprintf("room %s of account %s: %v", room, s.jid, s.faults[room]))
		}
	}
	return faults
}

// maxRefusedFaults is how many refused accounts have a sentence of their own.
const maxRefusedFaults = 16

// refusedLocked says which members are online with an identity that they may not have.
func (b *Book) refusedLocked() []string {
	by := map[string]string{}
	for _, s := range b.services {
		for jid, list := range s.online {
			for _, r := range list {
				if err := b.pins.refusal(jid, r.ext.Key); err != nil {
					by[jid] = err.Error()
				}
			}
		}
	}
	var faults []string
	for _, jid := range slices.Sorted(maps.Keys(by)) {
		faults = append(faults, by[jid])
	}
	if more := len(faults) - maxRefusedFaults; more > 0 {
		faults = append(faults[:maxRefusedFaults], fmt.Sprintf("%d more accounts are refused for their identity: see evio peers list", more))
	}
	return faults
}
