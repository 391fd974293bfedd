package member

import (
	"fmt"
	"strings"

	"evio/overlay/signal"
)

// source is what says who is a member of an overlay: the account's whole roster, the
// contacts of one of its groups (RFC 6121, section 2.1.2.6), or the members of a
// room (XEP-0045).
type source struct {
	kind sourceKind
	name string // of the group or room
}

type sourceKind uint8

const (
	rosterSource sourceKind = iota
	groupSource
	roomSource
)

// parseSource reads "roster", "group:NAME" or "room:ROOM@SERVICE".
func parseSource(text string) (source, error) {
	kind, name, named := strings.Cut(text, ":")
	switch {
	case text == "roster":
		return source{kind: rosterSource}, nil
	case kind == "group" && named && name != "":
		return source{groupSource, name}, nil
	case kind == "room" && named:
		room, err := signal.ParseRoom(name)
		if err != nil {
			return source{}, err
		}
		return source{roomSource, room}, nil
	}
	return source{}, fmt.Errorf("%q does not say who is a member: write roster, group:NAME or room:ROOM@SERVICE", text)
}

// String is what parseSource reads.
func (s source) String() string {
	switch s.kind {
	case groupSource:
		return "group:" + s.name
	case roomSource:
		return "room:" + s.name
	default:
		return "roster"
	}
}

// compare orders sources as operators read them.
func (s source) compare(other source) int { return strings.Compare(s.String(), other.String()) }

// has reports whether a contact of the roster belongs to the source.
func (s source) has(it signal.Item) bool {
	if it.Subscription != "both" && it.Subscription != "to" {
		return false // its presence, and with it its identity, is not for us
	}
	if s.kind == rosterSource {
		return true
	}
	for _, g := range it.Groups {
		if s.kind == groupSource && g == s.name {
			return true
		}
	}
	return false
}

// sourceOf returns who vouches for the members of an overlay; ok is false where the
// service does not serve it.
func (s *Service) sourceOf(overlay string) (from source, ok bool) {
	if from, ok = s.overlays[overlay]; !ok {
		from, ok = s.overlays[AnyOverlay]
	}
	return from, ok
}
