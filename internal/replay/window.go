// Package replay tells numbers that were seen before from new ones.
package replay

const wordBits = 64

// Ring is the memory of a window: a word for each 64 numbers, and one more, so that a partly
// used word never shortens the window.
type Ring interface {
	[4096/wordBits + 1]uint64 | [8192/wordBits + 1]uint64
}

// Window is a sliding window of the highest number seen and those below it (RFC 6479): a
// ring of words. Words that the highest number passes are cleared. The zero value has seen
// nothing. One goroutine at a time uses it.
type Window[R Ring] struct {
	ring    R
	highest uint64
	begun   bool // a number was seen
}

// Fresh reports whether a number is neither seen nor below the window.
func (w *Window[R]) Fresh(number uint64) bool {
	if !w.begun || number > w.highest {
		return true
	}
	words := uint64(len(w.ring))
	if w.highest-number >= (words-1)*wordBits {
		return false
	}
	return w.ring[number/wordBits%words]&(1<<(number%wordBits)) == 0
}

// Mark notes a fresh number as seen.
func (w *Window[R]) Mark(number uint64) {
	words, word := uint64(len(w.ring)), number/wordBits
	if !w.begun {
		w.begun, w.highest = true, number
	}
	if number > w.highest {
		before := w.highest / wordBits
		for i := uint64(1); i <= min(word-before, words); i++ {
			w.ring[(before+i)%words] = 0
		}
		w.highest = number
	}
	w.ring[word%words] |= 1 << (number % wordBits)
}
