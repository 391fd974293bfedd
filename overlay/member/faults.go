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
	for _, s := range b.services {
		for _, full := range slices.Sorted(maps.Keys(s.others)) {
			faults = append(faults, fmt.Sprintf("account %s is also used by the engine at %s, which has another identity: members hear only the one they knew first, give each engine an account of its own", s.jid, full))
		}
		for _, room := range slices.Sorted(maps.Keys(s.faults)) {
			faults = append(faults, fmt.Sprintf("room %s of account %s: %v", room, s.jid, s.faults[room]))
		}
	}
	return faults
}
