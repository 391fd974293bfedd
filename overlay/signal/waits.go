package signal

import (
	"time"

	"evio/internal/backoff"
)

const (
	shortestWait = time.Second
	longestWait  = time.Minute
	// livedLongEnough is how long a connection must have stood for the next one
	// to be tried without delay of its own history.
	livedLongEnough = 10 * time.Second
)

var ceilings = backoff.Exponential{First: 2 * shortestWait, Last: longestWait}

// waits says how long to wait before the next attempt to connect: between half
// of a ceiling and all of it, where the ceiling doubles from 2 s to 60 s. The
// randomness keeps a server's users from coming back all at once.
type waits struct {
	ceiling time.Duration
	refused bool // by the last attempt that ended by itself
}

// next takes how long the last connection stood, whether the login was refused (a
// server may lock an account out that insists: the wait is the longest at once),
// and a random number in [0, 1).
func (w *waits) next(stood time.Duration, refused bool, random float64) time.Duration {
	w.refused = refused
	switch {
	case refused:
		w.ceiling = longestWait
	case stood >= livedLongEnough:
		w.ceiling = ceilings.First
	default:
		w.ceiling = ceilings.After(w.ceiling)
	}
	return backoff.Spread(w.ceiling, 0.5, 1, random)
}

// forget begins anew with short waits: what has failed so far says nothing of what is
// tried now. After a refused login the waits stay long, unless a connection has stood
// since.
func (w *waits) forget(stood time.Duration) {
	if stood > 0 || !w.refused {
		*w = waits{}
	}
}
