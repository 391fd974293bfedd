package scenario

import (
	"testing"
	"time"
)

// Usage counts what must not grow at a site.
type Usage struct {
	Goroutines, Descriptors, TAPs, Ports, Agents, Sessions, Allocations int
}

// UsageOf measures a site.
func UsageOf(t *testing.T, s *Site) (u Usage) {
	t.Helper()
	d := Document(t, s)
	u = Usage{Goroutines: d.Process.Goroutines, Descriptors: d.Process.Descriptors, TAPs: d.Process.TAPs, Agents: d.Transport.Agents}
	var err error
	if u.Ports, err = s.SwitchPorts(Within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	for _, n := range d.Transport.Sessions {
		u.Sessions += n
	}
	for _, r := range d.Transport.Relays {
		u.Allocations += r.Allocations
	}
	return u
}

// Near reports whether nothing has grown, or shrunk, by more than 2.
func (u Usage) Near(v Usage) bool {
	differ := func(a, b int) bool { return max(a-b, b-a) > 2 }
	return !differ(u.Goroutines, v.Goroutines) && !differ(u.Descriptors, v.Descriptors) && !differ(u.TAPs, v.TAPs) && !differ(u.Ports, v.Ports) &&
		!differ(u.Agents, v.Agents) && !differ(u.Sessions, v.Sessions) && !differ(u.Allocations, v.Allocations)
}
