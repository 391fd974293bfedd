package member

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestAgesOfLists: a list goes through its stages in order, next says exactly when, and its
// age is reported after a quarter of the age that it may have, or a day, at the latest.
func TestAgesOfLists(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var most time.Duration
		if rapid.Bool().Draw(t, "limited") {
			most = time.Duration(rapid.Int64Range(int64(time.Minute), int64(365*24*time.Hour)).Draw(t, "most"))
		}
		age := time.Duration(rapid.Int64Range(0, int64(500*24*time.Hour)).Draw(t, "age"))
		l := limitsOf(most)
		is := l.stage(age)
		if want := most > 0 && age >= most; (is == expired) != want {
			t.Fatalf("at %v of %v: stage %d", age, most, is)
		}
		if untold := 24 * time.Hour; is == fresh && (age >= untold || most > 0 && age >= most/4) {
			t.Fatalf("at %v of %v nobody is told", age, most)
		}
		left, ok := l.next(age)
		switch {
		case ok && (left <= 0 || l.stage(age+left) != is+1 || l.stage(age+left-1) != is):
			t.Fatalf("at %v of %v: stage %d, for another %v", age, most, is, left)
		case !ok && l.stage(age+1000*24*time.Hour) != is:
			t.Fatalf("at %v of %v: stage %d is not the last", age, most, is)
		}
		if l.keepEvery() > l.ageing {
			t.Fatalf("of %v: kept each %v, told at %v", most, l.keepEvery(), l.ageing)
		}
	})
}
