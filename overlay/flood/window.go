package flood

const (
	blockBits = 256 // sequence numbers per block
	blocks    = 8   // blocks per window
	starts    = 2   // windows per origin: its present start and the one before
)

// window remembers exact sequence numbers: a few blocks of consecutive ones, wherever
// they lie, the block used longest ago given up for a new one. There is no highest
// number below which everything counts as seen: after a jump, those in between and
// those behind are still new.
type window struct {
	start uint64
	clock uint64 // counts uses; 0: the window was never used
	block [blocks]block
}

type block struct {
	number uint64 // seq / blockBits
	used   uint64 // the window's clock at the last use; 0: free
	seen   [blockBits / 64]uint64
}

// has reports whether seq was marked.
func (w *window) has(seq uint64) bool {
	for i := range w.block {
		if b := &w.block[i]; b.used != 0 && b.number == seq/blockBits {
			w.clock++
			b.used = w.clock
			return b.seen[seq%blockBits/64]&(1<<(seq%64)) != 0
		}
	}
	return false
}

// mark notes that seq was seen.
func (w *window) mark(seq uint64) {
	oldest := &w.block[0]
	for i := range w.block {
		b := &w.block[i]
		if b.used != 0 && b.number == seq/blockBits {
			oldest = b
			break
		}
		if b.used < oldest.used {
			oldest = b
		}
	}
	if oldest.used == 0 || oldest.number != seq/blockBits {
		*oldest = block{number: seq / blockBits}
	}
	w.clock++
	oldest.used = w.clock
	oldest.seen[seq%blockBits/64] |= 1 << (seq % 64)
}

// source is what is remembered of one origin.
type source struct {
	budget account
	clock  uint64
	window [starts]window
	used   [starts]uint64
}

// under returns the window of the frames under one start of the origin. A start that
// is not known takes the place of the one used longer ago.
func (s *source) under(start uint64) *window {
	oldest := 0
	for i := range s.window {
		if s.used[i] != 0 && s.window[i].start == start {
			oldest = i
			break
		}
		if s.used[i] < s.used[oldest] {
			oldest = i
		}
	}
	if s.used[oldest] == 0 || s.window[oldest].start != start {
		s.window[oldest] = window{start: start}
	}
	s.clock++
	s.used[oldest] = s.clock
	return &s.window[oldest]
}
