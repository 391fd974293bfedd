package driver

// work tells what Docker's calls do about a network or an endpoint. It is guarded by
// Driver.mu.
type work struct {
	calls   int    // in flight
	version uint64 // of the last call that began or ended; each has another one
}

func (d *Driver) beginLocked(w *work) {
	w.calls++
	d.touchLocked(w)
}

func (d *Driver) end(w *work) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w.calls--
	d.touchLocked(w)
}

// touchLocked notes that Docker has spoken of the object.
func (d *Driver) touchLocked(w *work) {
	d.changes++
	w.version = d.changes
}
