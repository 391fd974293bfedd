package flood

import (
	"slices"

	"evio/overlay/nodeid"
)

// inside reports whether id lies strictly between a and b, clockwise from a. From a
// point to itself is the whole circle.
func inside(id, a, b nodeid.ID) bool {
	afterA, beforeB := nodeid.Compare(id, a) > 0, nodeid.Compare(id, b) < 0
	if nodeid.Compare(a, b) < 0 {
		return afterA && beforeB
	}
	return (afterA || beforeB) && id != a
}

// within reports whether the arc from self up to end is part of that up to other.
func within(end, self, other nodeid.ID) bool { return end == other || inside(end, self, other) }

// split hands the arc from self up to end to the neighbours in it: each answers for
// the part up to the next one, the last up to end.
func split(self, end nodeid.ID, neighbours []nodeid.ID, h Header) []Send {
	var copies []Send
	for _, id := range clockwise(self, neighbours) {
		if !inside(id, self, end) {
			continue
		}
		if n := len(copies); n > 0 {
			copies[n-1].Header.ArcEnd = id
		}
		h.ArcEnd = end
		copies = append(copies, Send{To: id, Header: h})
	}
	return copies
}

// clockwise returns ids in clockwise order from self, each once and without self: ids
// themselves if they are so already, as those of a ring are.
func clockwise(self nodeid.ID, ids []nodeid.ID) []nodeid.ID {
	ordered := true
	last := self
	for _, id := range ids {
		ordered = ordered && inside(id, last, self)
		last = id
	}
	if ordered {
		return ids
	}
	ids = slices.Clone(ids)
	slices.SortFunc(ids, func(a, b nodeid.ID) int {
		switch {
		case a == b:
			return 0
		case inside(a, self, b):
			return -1
		}
		return 1
	})
	ids = slices.Compact(ids)
	return slices.DeleteFunc(ids, func(id nodeid.ID) bool { return id == self })
}
