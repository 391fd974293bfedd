//go:build e2e

package applications

import (
	"maps"
	"slices"
	"testing"

	"evio/integration/scenario"
)

// lossCounts is what was lost at a site, by cause.
type lossCounts map[string]uint64

// Causes that count datagrams between engines, several of them or none to a frame.
var ofDatagrams = []string{"buffer-full", "send_socket", "slice_expired", "slice_evicted"}

func (l lossCounts) since(before lossCounts) {
	for cause := range l {
		if l[cause] -= before[cause]; l[cause] == 0 {
			delete(l, cause)
		}
	}
}

func (l lossCounts) sum() (all int) {
	for count := range maps.Values(l) {
		all += int(count)
	}
	return all
}

// frames is sum without what is counted in datagrams.
func (l lossCounts) frames() int {
	l = maps.Clone(l)
	maps.DeleteFunc(l, func(cause string, _ uint64) bool { return slices.Contains(ofDatagrams, cause) })
	return l.sum()
}

// lossesOf returns by site what was lost so far that could be a frame of a stream.
func lossesOf(t *testing.T, d *scenario.Deployment, n scenario.Network) map[string]lossCounts {
	t.Helper()
	causes := append([]string{
		"flood", "flood-not-sent", "flood-own-limit", "flood-container-limit", "flood-ingress-limit", "flood-origin-limit", "flood-queue-full", "flood-time",
		"node-queue-full", "fabric-write", "switch-queue-full", "tap-queue-full", "tap-refused", "container-refused",
	}, ofDatagrams...)
	all := map[string]lossCounts{}
	for _, s := range d.Sites {
		doc := scenario.Document(t, s)
		of := scenario.OverlayIn(doc, n.Overlay)
		at := lossCounts{}
		for _, cause := range causes {
			at[cause] = of.Drops[cause] + doc.Transport.Drops[cause]
			for _, session := range of.Sessions {
				at[cause] += session.Drops[cause]
			}
		}
		all[s.Name()] = at
	}
	return all
}
