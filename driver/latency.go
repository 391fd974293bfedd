package driver

import (
	"math"
	"slices"
	"time"
)

// recentCalls is how many calls of a method its percentiles are taken from: enough
// for the 99th, and 2 KiB a method.
const recentCalls = 512

// latencies holds how long the latest calls of a method took, in microseconds.
type latencies struct {
	took  [recentCalls]uint32
	total uint64
}

func (l *latencies) add(took time.Duration) {
	l.took[l.total%recentCalls] = uint32(min(max(took.Microseconds(), 0), math.MaxUint32))
	l.total++
}

// percentiles returns, for each fraction of 0 to 1, the least time within which that
// part of the latest calls was answered, in milliseconds; 0 before the first call.
func (l *latencies) percentiles(fractions ...float64) []float64 {
	out := make([]float64, len(fractions))
	latest := slices.Clone(l.took[:min(l.total, recentCalls)])
	if len(latest) == 0 {
		return out
	}
	slices.Sort(latest)
	for i, f := range fractions {
		rank := int(math.Ceil(f * float64(len(latest))))
		out[i] = float64(latest[min(max(rank, 1), len(latest))-1]) / 1000
	}
	return out
}
