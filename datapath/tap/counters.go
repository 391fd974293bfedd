package tap

import "sync/atomic"

// counters are Stats that several goroutines may add to.
type counters struct {
	reads, writes               atomic.Uint64
	readFrames, readBytes       atomic.Uint64
	writtenFrames, writtenBytes atomic.Uint64
	badLength, refused          atomic.Uint64
}

// add adds what one call has counted.
func (c *counters) add(s *Stats) {
	for _, n := range [...]struct {
		to *atomic.Uint64
		by uint64
	}{
		{&c.reads, s.Reads}, {&c.writes, s.Writes},
		{&c.readFrames, s.ReadFrames}, {&c.readBytes, s.ReadBytes},
		{&c.writtenFrames, s.WrittenFrames}, {&c.writtenBytes, s.WrittenBytes},
		{&c.badLength, s.BadLength}, {&c.refused, s.Refused},
	} {
		if n.by > 0 {
			n.to.Add(n.by)
		}
	}
}

func (c *counters) load() Stats {
	return Stats{
		Reads: c.reads.Load(), Writes: c.writes.Load(),
		ReadFrames: c.readFrames.Load(), ReadBytes: c.readBytes.Load(),
		WrittenFrames: c.writtenFrames.Load(), WrittenBytes: c.writtenBytes.Load(),
		BadLength: c.badLength.Load(), Refused: c.refused.Load(),
	}
}
