package flood

// Remembered returns how many neighbours, origins and arcs are remembered.
func (f *Flood) Remembered() (neighbours, origins, forwarded int) {
	return len(f.ingress.entries), len(f.origins.entries), len(f.forwarded.entries)
}
