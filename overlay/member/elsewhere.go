package member

import (
	"slices"
	"strings"

	"evio/overlay/nodeid"
)

// Elsewhere is a member that is online in other overlays than the one asked about.
type Elsewhere struct {
	JID string // bare
	// Unknown is how many overlays it is in that this engine is not in.
	Unknown int
	// Fits is the first of the names asked about that is the name of one of these, or "".
	// Presence has hashes of names only, so a name that nobody thinks of stays unknown.
	Fits string
}

// Elsewhere returns the members of an overlay that are online and not in it, by account,
// if none is in it. names are what an overlay of theirs may be called.
func (b *Book) Elsewhere(overlay string, names []string) []Elsewhere {
	b.mu.Lock()
	defer b.mu.Unlock()
	byJID := map[string]Elsewhere{}
	for _, s := range b.servingLocked(overlay) {
		for _, m := range s.membersLocked(overlay) {
			if m.Online {
				return nil
			}
			for _, r := range s.online[m.JID] {
				if m.Key.Equal(r.ext.Key) {
					byJID[m.JID] = b.elsewhereLocked(m, r.ext.Nodes, names)
				}
			}
		}
	}
	list := make([]Elsewhere, 0, len(byJID))
	for _, e := range byJID {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b Elsewhere) int { return strings.Compare(a.JID, b.JID) })
	return list
}

func (b *Book) elsewhereLocked(m Member, nodes []nodeid.ID, names []string) Elsewhere {
	e := Elsewhere{JID: m.JID, Unknown: len(nodes)}
	for own := range b.overlays {
		if slices.Contains(nodes, nodeid.FromKey(m.Key, own)) {
			e.Unknown--
		}
	}
	for _, name := range names {
		if _, own := b.overlays[name]; !own && slices.Contains(nodes, nodeid.FromKey(m.Key, name)) {
			e.Fits = name
			break
		}
	}
	return e
}
