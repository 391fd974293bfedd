package network

import (
	"maps"
	"sync"

	"evio/overlay"
)

// accepted is which source MAC addresses the installed flows let in by which link. It is
// changed in place. The zero value is ready; any goroutine may use it.
type accepted struct {
	mu sync.RWMutex
	by map[overlay.MAC]*link
}

// lets reports whether the flows let a MAC address in by a link.
func (a *accepted) lets(mac overlay.MAC, l *link) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return l != nil && a.by[mac] == l
}

// set replaces all.
func (a *accepted) set(by map[overlay.MAC]*link) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.by = by
}

// put adds what flows have come to let in; nil is no link.
func (a *accepted) put(by map[overlay.MAC]*link) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.by == nil {
		a.by = map[overlay.MAC]*link{}
	}
	maps.Copy(a.by, by)
	for mac, l := range by {
		if l == nil {
			delete(a.by, mac)
		}
	}
}

// narrow removes what the next flows will not let in, before they are installed. Frames
// from there are then handled as first frames, and none meets a flow that has just gone.
func (a *accepted) narrow(coming map[overlay.MAC]*link) {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.by, func(mac overlay.MAC, l *link) bool { return coming[mac] != l })
}

// narrowTo is narrow for these MAC addresses only.
func (a *accepted) narrowTo(coming map[overlay.MAC]*link) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for mac, l := range coming {
		if a.by[mac] != l {
			delete(a.by, mac)
		}
	}
}

// forget removes all MAC addresses of a link.
func (a *accepted) forget(of *link) {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.by, func(_ overlay.MAC, l *link) bool { return l == of })
}
