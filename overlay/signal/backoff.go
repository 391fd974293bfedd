package signal

import "time"

const (
	shortestWait = time.Second
	longestWait  = time.Minute
	// livedLongEnough is how long a connection must have stood for the next one
	// to be tried without delay of its own history.
	livedLongEnough = 10 * time.Second
)

// backoff says how long to wait before the next attempt to connect: between half
// of a ceiling and all of it, where the ceiling doubles from 2 s to 60 s. The
// randomness keeps a server's users from coming back all at once.
type backoff struct {
	ceiling time.Duration
	refused bool // by the last attempt that ended by itself
}

// next takes how long the last connection stood, whether the login was refused (a
// server may lock an account out that insists: the wait is the longest at once),
// and a random number in [0, 1).
func (b *backoff) next(stood time.Duration, refused bool, random float64) time.Duration {
	b.refused = refused
	switch {
	case refused:
		b.ceiling = longestWait
	case stood >= livedLongEnough || b.ceiling == 0:
		b.ceiling = 2 * shortestWait
	default:
		b.ceiling = min(2*b.ceiling, longestWait)
	}
	half := b.ceiling / 2
	return half + time.Duration(random*float64(half))
}

// forget begins anew with short waits: what has failed so far says nothing of what is
// tried now. After a refused login the waits stay long, unless a connection has stood
// since.
func (b *backoff) forget(stood time.Duration) {
	if stood > 0 || !b.refused {
		*b = backoff{}
	}
}
