package scenario

import (
	"fmt"
	"testing"
	"time"

	"evio/driver/status"
)

// Known is what a site must not forget.
type Known struct {
	Identity string            // hash of its file
	Networks map[string]string // overlay and node ID by network ID
	Peers    []status.Peer     // pins
	Held     map[string]string // MAC and node by address, of the directory
}

// KnowledgeOf returns what each site knows, and the version that runs at the first.
func KnowledgeOf(t *testing.T, d *Deployment) (all map[string]Known, version string) {
	t.Helper()
	all = map[string]Known{}
	for i, s := range d.Sites {
		doc, err := s.Status(Within(t, 10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			version = doc.Version
		}
		k := Known{Networks: map[string]string{}, Held: map[string]string{}}
		for _, n := range doc.Networks {
			k.Networks[n.ID] = n.Overlay + " " + n.Node
			for _, e := range n.Directory {
				if e.Address != "" {
					k.Held[e.Address] = fmt.Sprint(e.MAC, " ", e.Node)
				}
			}
		}
		if k.Identity, err = s.Script(Within(t, 10*time.Second), "sha256sum </var/lib/evio/identity.pem"); err != nil {
			t.Fatal(err)
		}
		if k.Peers, err = status.FetchPeers(Within(t, 10*time.Second), s.EvioStatus()); err != nil {
			t.Fatal(err)
		}
		all[s.Name()] = k
	}
	return all, version
}
