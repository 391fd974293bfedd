package tap

import "sync/atomic"

// counters are Stats that several goroutines may add to.
type counters struct {
	reads, writes               atomic.Uint64
	readFrames, readBytes       atomic.Uint64
	writtenFrames, writtenBytes atomic.Uint64

	readSupers, readSegments       atomic.Uint64
	writtenSupers, writtenSegments atomic.Uint64

	badLength, badOffload, refused atomic.Uint64
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
		{&c.readSupers, s.ReadSupers}, {&c.readSegments, s.ReadSegments},
		{&c.writtenSupers, s.WrittenSupers}, {&c.writtenSegments, s.WrittenSegments},
		{&c.badLength, s.BadLength}, {&c.badOffload, s.BadOffload}, {&c.refused, s.Refused},
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
		ReadSupers: c.readSupers.Load(), ReadSegments: c.readSegments.Load(),
		WrittenSupers: c.writtenSupers.Load(), WrittenSegments: c.writtenSegments.Load(),
		BadLength: c.badLength.Load(), BadOffload: c.badOffload.Load(), Refused: c.refused.Load(),
	}
}
