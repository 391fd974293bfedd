package status

import (
	"fmt"
	"slices"
	"strings"
)

// Elsewhere is a member that is online, but not in this overlay, in which no other
// member is.
type Elsewhere struct {
	JID      string `json:"jid"`            // bare
	Overlays int    `json:"overlays"`       // it is in, and this engine is not
	Fits     string `json:"fits,omitempty"` // name of one of these, if it resembles this overlay's
}

// namesTried bounds how many names are tried for one overlay.
const namesTried = 64

// Resembling returns what the overlay of a network may be called at other sites: compose
// puts the project before a network's name, and so does without evio.overlay before the
// overlay's; somebody may have written it with or without, with another sign between
// words, or in capitals.
func (d Document) Resembling(n Network) []string {
	var names []string
	add := func(name string) {
		if name != "" && name != n.Overlay && !slices.Contains(names, name) && len(names) < namesTried {
			names = append(names, name)
		}
	}
	own := []string{n.Overlay, n.Name}
	for _, name := range slices.Clone(own) {
		for rest := name; ; {
			_, after, more := strings.Cut(rest, "_")
			if !more {
				break
			}
			own, rest = append(own, after), after
		}
	}
	for _, name := range own {
		add(name)
		add(strings.ToLower(name))
		add(strings.ReplaceAll(name, "-", "_"))
		add(strings.ReplaceAll(name, "_", "-"))
	}
	for _, other := range d.Networks { // with the project of another network here
		if project, _, composed := strings.Cut(other.Name, "_"); composed {
			for _, name := range own {
				add(project + "_" + name)
			}
		}
	}
	return names
}

// apart returns a note on an overlay that no other member is in while members are online,
// or "".
func (n Network) apart() string {
	if len(n.Elsewhere) == 0 {
		return ""
	}
	for _, e := range n.Elsewhere {
		if e.Fits != "" {
			return fmt.Sprintf("no other member has overlay %s, which network %s is in; %s has overlay %s: sites meet by the overlay's name, so if that is the one, remove the network and create it again with -o evio.overlay=%s",
				n.Overlay, n.Label(), e.JID, e.Fits, e.Fits)
		}
	}
	var who []string
	for _, e := range n.Elsewhere {
		who = append(who, fmt.Sprintf("%s (%s)", e.JID, others(e.Overlays)))
	}
	return fmt.Sprintf("no other member has overlay %s, which network %s is in, while %s online: sites meet by the overlay's name, so if it is to reach them, create the network with the same -o evio.overlay=NAME at each site",
		n.Overlay, n.Label(), areOnline(who))
}

func others(overlays int) string {
	switch overlays {
	case 0:
		return "no overlay but this engine's"
	case 1:
		return "1 other overlay"
	default:
		return fmt.Sprintf("%d other overlays", overlays)
	}
}

// areOnline joins names, three at most.
func areOnline(who []string) string {
	if len(who) == 1 {
		return who[0] + " is"
	}
	if more := len(who) - 3; more > 0 {
		who = append(who[:3:3], fmt.Sprintf("%d more", more))
	}
	last := len(who) - 1
	return strings.Join(who[:last], ", ") + " and " + who[last] + " are"
}
