package turn

import (
	"cmp"
	"time"
)

const (
	// ServerStagger is the head start of a server before the next one.
	ServerStagger = 500 * time.Millisecond
	// AddressStagger is the head start of one address of a server (RFC 8305).
	AddressStagger = 250 * time.Millisecond
	// AnswerTimeout bounds an attempt at one address, and later each request: a
	// server that is silent for so long is lost.
	AnswerTimeout = 8 * time.Second
	// RefreshInterval is between requests that keep the allocation.
	RefreshInterval = 10 * time.Second
	// Linger is how long an allocation stays after its last Release.
	Linger = 3 * time.Second
	// RetryAfter is how long a server that failed is not asked.
	RetryAfter = 5 * time.Second

	// PermissionRefresh lies well below permissionLifetime, which is the server's
	// (RFC 8656 section 9).
	PermissionRefresh  = 2 * time.Minute
	permissionLifetime = 5 * time.Minute
	// ChannelRefresh lies well below channelLifetime (section 12).
	ChannelRefresh  = 4 * time.Minute
	channelLifetime = 10 * time.Minute
	// channelRest is after a channel's last binding; only then may its number
	// mean another peer.
	channelRest = channelLifetime + 5*time.Minute
	// PeerIdle is how long a peer is kept that nothing is sent to.
	PeerIdle = 5 * time.Minute

	// CredentialLife is how long credentials made of a secret are valid.
	CredentialLife = 24 * time.Hour
	// CredentialUse is how long an allocation with such credentials serves those
	// who acquire it. Who has it by then keeps it until they expire.
	CredentialUse = 23 * time.Hour

	// parting bounds the wait for the server's answer when an allocation is
	// given back.
	parting = time.Second
)

// timing holds what tests shorten.
type timing struct {
	stagger, answer, refresh, linger, retry, permission, channel time.Duration
}

func (t timing) orDefaults() timing {
	return timing{
		stagger:    cmp.Or(t.stagger, ServerStagger),
		answer:     cmp.Or(t.answer, AnswerTimeout),
		refresh:    cmp.Or(t.refresh, RefreshInterval),
		linger:     cmp.Or(t.linger, Linger),
		retry:      cmp.Or(t.retry, RetryAfter),
		permission: cmp.Or(t.permission, PermissionRefresh),
		channel:    cmp.Or(t.channel, ChannelRefresh),
	}
}
