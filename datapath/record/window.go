package record

// WindowSize is how far behind the highest number a record may arrive.
const WindowSize = 8192

const (
	wordBits = 64
	words    = WindowSize/wordBits + 1 // one more, so that a partly used word never shortens the window
)

// window is a sliding window of numbers seen (RFC 6479): a ring of words, of
// which those that the highest number passes are cleared. The zero value has
// seen nothing.
type window struct {
	ring [words]uint64
	next uint64 // one above the highest number seen
}

// fresh tells whether a number is neither seen nor too old.
func (w *window) fresh(number uint64) bool {
	if number >= w.next {
		return true
	}
	if w.next-1-number >= WindowSize {
		return false
	}
	word := number / wordBits
	return w.ring[word%words]&(1<<(number%wordBits)) == 0
}

// mark notes a fresh number as seen.
func (w *window) mark(number uint64) {
	word := number / wordBits
	if number >= w.next {
		if w.next > 0 {
			highest := (w.next - 1) / wordBits
			for i := uint64(1); i <= min(word-highest, words); i++ {
				w.ring[(highest+i)%words] = 0
			}
		}
		w.next = number + 1
	}
	w.ring[word%words] |= 1 << (number % wordBits)
}
