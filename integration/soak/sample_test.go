package soak

import "testing"

// TestSoakSamples: a heap that rises and a count that differs are seen, noise and what is there
// for a moment are not.
func TestSoakSamples(t *testing.T) {
	series := func(heap func(i int) int64, goroutines, descriptors func(i int) int) []sample {
		var all []sample
		for i := range 30 {
			all = append(all, sample{heap(i), goroutines(i), descriptors(i)})
		}
		return all
	}
	flat := func(int) int64 { return 8e6 }
	same := func(int) int { return 40 }
	for _, c := range []struct {
		name         string
		all          []sample
		heap, counts bool // are found
	}{
		{"nothing", series(flat, same, same), false, false},
		{"noise", series(func(i int) int64 { return 8e6 + int64(i%3)*1e6 }, same, same), false, false},
		{"a peak", series(func(i int) int64 { return 8e6 + int64(i/29)*100e6 }, same, same), false, false},
		{"growth in the first third", series(func(i int) int64 { return 8e6 + int64(min(i, 10))*1e6 }, same, same), false, false},
		{"growth", series(func(i int) int64 { return 8e6 + int64(i)*2e5 }, same, same), true, false},
		{"slow growth", series(func(i int) int64 { return 8e6 + int64(i)*5e4 }, same, same), false, false},
		{"rekeys", series(flat, func(i int) int { return 40 + 6*(i%4/3) }, same), false, false},
		{"a goroutine that is replaced", series(flat, func(i int) int { return 40 - i/25%2*(i%2) }, same), false, false},
		{"a goroutine stays", series(flat, func(i int) int { return 40 + i/20 }, same), false, true},
		{"a goroutine goes", series(flat, func(i int) int { return 40 - i/20 }, same), false, true},
		{"a descriptor stays", series(flat, same, func(i int) int { return 40 + i/20 }), false, true},
		{"too few", series(flat, same, same)[:3*fewest-1], true, true},
	} {
		if err := risingHeap(c.all); (err != nil) != c.heap {
			t.Errorf("%s: heap: %v", c.name, err)
		}
		if err := otherCounts(c.all); (err != nil) != c.counts {
			t.Errorf("%s: counts: %v", c.name, err)
		}
	}
}
