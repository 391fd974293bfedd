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
	// AnswerTimeout bounds the requests for an allocation at one address, and later each
	// request. An allocation whose server is silent for so long is lost.
	AnswerTimeout = 8 * time.Second
	// RefreshInterval is the time between requests that renew the allocation.
	RefreshInterval = 10 * time.Second
	// Linger is how long an allocation stays after its last Release.
	Linger = 3 * time.Second
	// RetryAfter is how long a server is not asked after it has failed.
	RetryAfter = 5 * time.Second

	// PermissionRefresh lies well below permissionLifetime, which is the server's
	// (RFC 8656 section 9).
	PermissionRefresh  = 2 * time.Minute
	permissionLifetime = 5 * time.Minute
	// ChannelRefresh lies well below channelLifetime (section 12).
	ChannelRefresh  = 4 * time.Minute
	channelLifetime = 10 * time.Minute
	// channelRest is how long a channel's number is kept after its last binding. Only then
	// may it be given to another peer.
	channelRest = channelLifetime + 5*time.Minute
	// PeerIdle is how long a peer is kept after something was last sent to it.
	PeerIdle = 5 * time.Minute

	// CredentialLife is how long credentials made of a secret are valid.
	CredentialLife = 24 * time.Hour
	// CredentialUse is how long an allocation with such credentials can be acquired. Its
	// users keep it until the credentials expire.
	CredentialUse = 23 * time.Hour

	// releaseTimeout bounds the wait for the server's answer when an allocation is
	// given back.
	releaseTimeout = time.Second
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
