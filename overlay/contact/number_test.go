package contact

import (
	"testing"
	"time"

	"evio/wall"
)

func TestNumber(t *testing.T) {
	t0 := time.UnixMilli(1_800_000_000_000)
	n := wall.Milliseconds(t0)
	steps := []struct {
		name string
		now  time.Time
		want uint64
	}{
		{"first", t0, n},
		{"same millisecond", t0, n + 1},
		{"clock set back a little", t0.Add(-time.Minute), n + 2},
		{"later", t0.Add(time.Hour), n + 3_600_000},
		{"clock set back by more than any peer would accept", t0, n},
	}
	c := Contact{wall: wall.At}
	for _, s := range steps {
		if got := c.number(s.now); got != s.want {
			t.Errorf("%s: %d, want %d", s.name, got, s.want)
		}
	}
}
