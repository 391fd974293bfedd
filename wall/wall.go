// Package wall tells the time that other machines go by. What is signed, kept on disk,
// or compared with what another machine says takes it from here; so does the check of a
// certificate.
//
// How long something takes on this machine is another matter: that is the difference of
// two readings of time.Now, which no step of the clock changes. So the parts get such
// readings, and ask a Clock for wall time where they need it. What must also count while the
// machine sleeps adds Slept.
//
// Functions may be called from any goroutine, a Steps by one at a time.
package wall

import "time"

// Clock returns wall time at a moment that time.Now returned, without its monotonic
// reading. At is the one of this machine.
type Clock func(now time.Time) time.Time

// At returns this machine's wall time at a moment that time.Now returned. Its result has
// no monotonic reading: the difference of two shows what was done to the clock meanwhile.
func At(now time.Time) time.Time { return now.Round(0).Add(offset()) }

// Now returns this machine's wall time.
func Now() time.Time { return At(time.Now()) }

// Or returns the clock, or At for none.
func (c Clock) Or() Clock {
	if c == nil {
		return At
	}
	return c
}

// Milliseconds returns a wall time as it stands in messages: Unix time, never below zero.
func Milliseconds(t time.Time) uint64 { return uint64(max(0, t.UnixMilli())) }

// Nanoseconds is Milliseconds in nanoseconds.
func Nanoseconds(t time.Time) uint64 { return uint64(max(0, t.UnixNano())) }

// FromMilliseconds undoes Milliseconds.
func FromMilliseconds(ms uint64) time.Time { return time.UnixMilli(int64(ms)) }
