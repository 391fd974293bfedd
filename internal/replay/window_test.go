package replay

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// ring is the memory of a window of size numbers.
type ring = [size/wordBits + 1]uint64

const size = 8192

func TestWindow(t *testing.T) {
	type step struct {
		number uint64
		fresh  bool
	}
	const top = math.MaxUint64
	tests := map[string][]step{
		"first is zero":      {{0, true}, {0, false}, {1, true}},
		"first is high":      {{top, true}, {top, false}, {top - 1, true}, {top, false}, {0, false}},
		"edge of the window": {{size, true}, {1, true}, {0, false}, {1, false}},
		"jump of a window":   {{5, true}, {5 + size, true}, {5, false}, {6, true}},
		"jump of two":        {{100, true}, {100 + 2*size, true}, {101 + size, true}, {100 + size, false}},
		"within one word":    {{63, true}, {0, true}, {62, true}, {62, false}, {64, true}, {0, false}},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			var w Window[ring]
			for i, s := range steps {
				got := w.Fresh(s.number)
				if got != s.fresh {
					t.Errorf("step %d: Fresh(%d) = %v, want %v", i, s.number, got, s.fresh)
				}
				if got {
					w.Mark(s.number)
				}
			}
		})
	}
}

// TestWindowAgreesWithSet compares the window with a set of all numbers seen.
func TestWindowAgreesWithSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w Window[ring]
		seen := make(map[uint64]bool)
		next := rapid.Uint64Range(0, 1<<40).Draw(t, "start")
		var highest uint64
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			var number uint64
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0: // in order
				number = next
			case 1: // ahead
				number = next + rapid.Uint64Range(0, 3*size).Draw(t, "ahead")
			default: // behind
				number = next - min(next, rapid.Uint64Range(0, size+200).Draw(t, "behind"))
			}
			tooOld := len(seen) > 0 && number <= highest && highest-number >= size
			want := !seen[number] && !tooOld
			if got := w.Fresh(number); got != want {
				t.Fatalf("Fresh(%d) = %v, want %v (highest %d)", number, got, want, highest)
			}
			if want {
				w.Mark(number)
				seen[number] = true
				highest = max(highest, number)
				next = highest + 1
			}
		}
	})
}
