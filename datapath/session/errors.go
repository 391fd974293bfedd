package session

import "errors"

// What callers may ask of an error.
var (
	ErrClosed         = errors.New("session is closed")
	ErrPeerClosed     = errors.New("peer has closed the session")
	ErrPeerDead       = errors.New("peer does not answer")
	ErrAddresses      = errors.New("own addresses have changed")
	ErrTimeout        = errors.New("no path and keys in time")
	ErrNotReady       = errors.New("own parameters are not ready")
	ErrEstablished    = errors.New("session is established")
	ErrNotEstablished = errors.New("session is not established")
	ErrFrameSize      = errors.New("frame is empty or larger than its kind allows")
	ErrKind           = errors.New("not a kind that callers send")
	ErrSecret         = errors.New("overlay secrets differ")
	ErrUnproved       = errors.New("peer has not proved the overlay's secret")
	ErrExhausted      = errors.New("session has used up its keys")
)
