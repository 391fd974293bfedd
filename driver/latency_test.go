package driver

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLatencies(t *testing.T) {
	fill := func(from, to int) (l latencies) {
		for ms := from; ms <= to; ms++ {
			l.add(time.Duration(ms) * time.Millisecond)
		}
		return l
	}
	var extremes latencies
	extremes.add(-time.Second)
	extremes.add(math.MaxInt64)
	for _, c := range []struct {
		name string
		l    latencies
		want []float64 // of 0, 0.5, 0.99, 1
	}{
		{"none", latencies{}, []float64{0, 0, 0, 0}},
		{"one", fill(7, 7), []float64{7, 7, 7, 7}},
		{"a hundred", fill(1, 100), []float64{1, 50, 99, 100}},
		{"the latest of more than are kept", fill(1, 3*recentCalls), []float64{2*recentCalls + 1, 2.5 * recentCalls, 3*recentCalls - 5, 3 * recentCalls}},
		{"no time at all, and more than can be told", extremes, []float64{0, 0, math.MaxUint32 / 1000.0, math.MaxUint32 / 1000.0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, c.l.percentiles(0, 0.5, 0.99, 1)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
