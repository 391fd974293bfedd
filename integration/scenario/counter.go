package scenario

import (
	"fmt"
	"testing"
	"time"

	"evio/driver/status"
)

// Counter is one number of the status document.
type Counter struct {
	Name string
	Read func(d status.Document) uint64
}

// OfOverlay counts what an overlay drops for a cause.
func OfOverlay(overlay, name string) Counter {
	return Counter{overlay + ": " + name, func(d status.Document) uint64 { return OverlayIn(d, overlay).Drops[name] }}
}

// Sum adds two counters.
func Sum(a, b Counter) Counter {
	return Counter{a.Name + " and " + b.Name, func(d status.Document) uint64 { return a.Read(d) + b.Read(d) }}
}

// OfSessions counts what all sessions of an overlay together drop for a cause.
func OfSessions(overlay, name string) Counter {
	return Counter{"sessions of " + overlay + ": " + name, func(d status.Document) (sum uint64) {
		for _, s := range OverlayIn(d, overlay).Sessions {
			sum += s.Drops[name]
		}
		return sum
	}}
}

// OfTransport counts what the transport drops for a cause.
func OfTransport(name string) Counter {
	return Counter{"transport: " + name, func(d status.Document) uint64 { return d.Transport.Drops[name] }}
}

// OfSignalling counts what all accounts together drop for a cause.
func OfSignalling(name string) Counter {
	return Counter{"signalling: " + name, func(d status.Document) (sum uint64) {
		for _, s := range d.Signalling {
			sum += s.Drops[name]
		}
		return sum
	}}
}

// OfStrangers counts the strangers that all accounts together have heard from.
func OfStrangers() Counter {
	return Counter{"signalling: strangers", func(d status.Document) (sum uint64) {
		for _, s := range d.Signalling {
			sum += s.Strangers
		}
		return sum
	}}
}

// Moves does something and fails the test unless it makes the counter rise by at least that much.
func Moves(t *testing.T, s *Site, c Counter, least uint64, do func()) {
	t.Helper()
	before := c.Read(Document(t, s))
	do()
	var after uint64
	Until(t, 10*time.Second, func() error {
		if after = c.Read(Document(t, s)); after < before+least {
			return fmt.Errorf("%s at %s: %d, %d before: want %d more", c.Name, s.Name(), after, before, least)
		}
		return nil
	})
	t.Logf("%s: %s: %d → %d", s.Name(), c.Name, before, after)
}
