package soak

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"evio/driver/status"
)

// sample is what a process had at one moment.
type sample struct {
	heap                    int64 // bytes in use after a garbage collection
	goroutines, descriptors int
}

func sampleOf(p status.Process) sample {
	return sample{heap: p.HeapBytes, goroutines: p.Goroutines, descriptors: p.Descriptors}
}

const (
	// heapLimit is how much more heap than in the middle third may be in use in the last one.
	heapLimit = 1.1
	// fewest is how many samples a third needs. A rekey, which has goroutines of its own, is
	// over within the time of a few.
	fewest = 4
)

// thirds are the middle and the last third of samples at equal distances.
func thirds(all []sample) (middle, last []sample, err error) {
	n := len(all) / 3
	if n < fewest {
		return nil, nil, fmt.Errorf("there are %d samples, want %d: the status was not read often enough", len(all), 3*fewest)
	}
	return all[len(all)-2*n : len(all)-n], all[len(all)-n:], nil
}

// risingHeap says by how much the heap has grown, if that is too much. Medians are compared, since
// the buffers of frames that are just passing are in use too.
func risingHeap(all []sample) error {
	middle, last, err := thirds(all)
	if err != nil {
		return err
	}
	was, is := medianHeap(middle), medianHeap(last)
	if float64(is) > heapLimit*float64(was) {
		return fmt.Errorf("the heap in use rises: %.2f MB in the last third, %.2f MB in the middle one, want at most %v times that",
			float64(is)/1e6, float64(was)/1e6, heapLimit)
	}
	return nil
}

func medianHeap(some []sample) int64 {
	return median(some, func(s sample) int64 { return s.heap })
}

// median is the one in the middle of a figure of samples.
func median[T cmp.Ordered](some []sample, figure func(sample) T) T {
	figures := make([]T, len(some))
	for i, s := range some {
		figures[i] = figure(s)
	}
	slices.Sort(figures)
	return figures[len(figures)/2]
}

// otherCounts says which counts are not those of before. Medians are compared: what a rekey or a
// request needs for a moment is not in them, and what is not given back is.
func otherCounts(all []sample) error {
	middle, last, err := thirds(all)
	if err != nil {
		return err
	}
	if was, is := medianCounts(middle), medianCounts(last); was != is {
		return fmt.Errorf("%d goroutines and %d descriptors in the last third, %d and %d in the middle one: want the same; there were %s, and then %s",
			is.goroutines, is.descriptors, was.goroutines, was.descriptors, counts(middle), counts(last))
	}
	return nil
}

func medianCounts(some []sample) sample {
	return sample{
		goroutines:  median(some, func(s sample) int { return s.goroutines }),
		descriptors: median(some, func(s sample) int { return s.descriptors }),
	}
}

// counts lists goroutines and descriptors of samples.
func counts(some []sample) string {
	list := make([]string, len(some))
	for i, s := range some {
		list[i] = fmt.Sprintf("%d/%d", s.goroutines, s.descriptors)
	}
	return strings.Join(list, " ")
}
