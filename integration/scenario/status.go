package scenario

import (
	"testing"
	"time"

	"evio/driver/status"
)

// Document returns the status document of a site.
func Document(t *testing.T, s *Site) status.Document {
	t.Helper()
	d, err := s.Status(Within(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// OverlayIn is the part of one overlay, zero if it is not there.
func OverlayIn(d status.Document, overlay string) status.Network {
	for _, n := range d.Networks {
		if n.Overlay == overlay {
			return n
		}
	}
	return status.Network{}
}

// OverlayAt returns the part of one overlay in the status document of a site, zero if it is not there.
func OverlayAt(t *testing.T, s *Site, overlay string) status.Network {
	t.Helper()
	return OverlayIn(Document(t, s), overlay)
}

// Inside runs a command in the namespace of an overlay.
func Inside(t *testing.T, s *Site, overlay string, args ...string) string {
	t.Helper()
	out, err := s.InNamespace(Within(t, 30*time.Second), overlay, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
