package turn

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v4"
)

// maxChallenges bounds how often a request is repeated with what the server
// asks for: once for realm and nonce, and for nonces that just became stale.
const maxChallenges = 4

var errForged = errors.New("an answer that the server did not sign")

// refusal is an error response.
type refusal struct {
	code   stun.ErrorCode
	reason string
}

func (r *refusal) Error() string { return fmt.Sprintf("%d %.60q", int(r.code), r.reason) }

// silence is a request without an answer.
type silence time.Duration

func (s silence) Error() string { return fmt.Sprintf("no answer within %v", time.Duration(s)) }

// signer is what requests are signed with.
type signer struct {
	username, password string
	challenge          atomic.Pointer[challenge]
}

// challenge is what a server wants to see in requests, with the key that
// follows from it (RFC 8489 section 9.2). It does not change.
type challenge struct {
	realm stun.Realm
	nonce stun.Nonce
	key   stun.MessageIntegrity
}

// learn takes the challenge of an error response.
func (a *signer) learn(m *stun.Message) bool {
	c := &challenge{}
	if c.realm.GetFrom(m) != nil {
		if old := a.challenge.Load(); old != nil {
			c.realm = old.realm
		}
	}
	if c.nonce.GetFrom(m) != nil || len(c.realm) == 0 {
		return false
	}
	c.realm, c.nonce = slices.Clone(c.realm), slices.Clone(c.nonce)
	c.key = stun.NewLongTermIntegrity(a.username, c.realm.String(), a.password)
	a.challenge.Store(c)
	return true
}

// request returns the success response to a request. Any error but a refusal
// and errQueueFull, with which nothing was sent, has ended the link.
func (l *link) request(method stun.Method, attributes ...stun.Setter) (*stun.Message, error) {
	if err := l.enter(); err != nil {
		return nil, err
	}
	defer func() { <-l.places }()
	limit := time.AfterFunc(l.answer, func() { l.close(silence(l.answer)) })
	defer limit.Stop()
	var refused *refusal
	for range maxChallenges {
		c := l.signer.challenge.Load()
		m, err := l.exchange(method, c, attributes)
		if err != nil {
			l.close(err)
			<-l.closed
			return nil, l.cause
		}
		if m.Type.Class == stun.ClassSuccessResponse {
			return m, nil
		}
		var code stun.ErrorCodeAttribute
		_ = code.GetFrom(m) // without one it is error 0
		refused = &refusal{code: code.Code, reason: string(code.Reason)}
		again := code.Code == stun.CodeStaleNonce || code.Code == stun.CodeUnauthorized && c == nil
		if !again || !l.signer.learn(m) {
			break
		}
	}
	return nil, refused
}

// enter waits for a place among the requests without an answer.
func (l *link) enter() error {
	limit := time.NewTimer(l.answer)
	defer limit.Stop()
	select {
	case l.places <- struct{}{}:
		return nil
	case <-l.closed:
		return l.cause
	case <-limit.C:
		return errQueueFull
	}
}

// exchange sends one request and returns its response.
func (l *link) exchange(method stun.Method, c *challenge, attributes []stun.Setter) (*stun.Message, error) {
	setters := append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, attributes...)
	if c != nil {
		setters = append(setters, stun.NewUsername(l.signer.username), c.realm, c.nonce, c.key)
	}
	request, err := stun.Build(append(setters, stun.Fingerprint)...)
	if err != nil {
		return nil, fmt.Errorf("build a request: %w", err)
	}
	result, err := l.client.PerformTransaction(request, l.conn.RemoteAddr(), false)
	switch {
	case err != nil:
		select {
		case <-l.closed:
			return nil, l.cause
		default:
			return nil, noAnswer(err, l.answer)
		}
	case result.Msg.Type.Method != method:
		return nil, errMessage
	case c != nil && result.Msg.Type.Class == stun.ClassSuccessResponse && c.key.Check(result.Msg) != nil:
		return nil, errForged
	}
	return result.Msg, nil
}

// noAnswer tells an error of the connection from the end of repetitions, which
// pion has no error value for.
func noAnswer(err error, answer time.Duration) error {
	var system interface{ Timeout() bool } // errors of connections and their numbers
	if errors.As(err, &system) {
		return err
	}
	return silence(answer)
}
