package turn

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v4"
)

// maxChallenges bounds how often a request is repeated with what the server asks for: first
// realm and nonce, then nonces that have just become stale.
const maxChallenges = 4

var errForged = errors.New("an answer that the server did not sign")

// refusedError is an error response of the server.
type refusedError struct {
	code   stun.ErrorCode
	reason string
}

func (r *refusedError) Error() string { return fmt.Sprintf("%d %.60q", int(r.code), r.reason) }

// noAnswerError says that a request had no answer within this time.
type noAnswerError time.Duration

func (s noAnswerError) Error() string { return fmt.Sprintf("no answer within %v", time.Duration(s)) }

// signer is what requests are signed with.
type signer struct {
	username, password string
	challenge          atomic.Pointer[challenge]
}

// challenge is what a server wants in requests, with the key that follows from it (RFC 8489
// section 9.2). It does not change.
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

// request returns the success response to a request. After errQueueFull nothing was sent.
// Any error other than that and a refusedError has ended the connection.
func (s *serverConn) request(method stun.Method, attributes ...stun.Setter) (*stun.Message, error) {
	if err := s.acquireSlot(); err != nil {
		return nil, err
	}
	defer func() { <-s.slots }()
	limit := time.AfterFunc(s.answer, func() { s.close(noAnswerError(s.answer)) })
	defer limit.Stop()
	var refused *refusedError
	for range maxChallenges {
		c := s.signer.challenge.Load()
		m, err := s.exchange(method, c, attributes)
		if err != nil {
			s.close(err)
			<-s.closed
			return nil, s.cause
		}
		if m.Type.Class == stun.ClassSuccessResponse {
			return m, nil
		}
		var code stun.ErrorCodeAttribute
		_ = code.GetFrom(m) // the code is 0 if there is none
		refused = &refusedError{code: code.Code, reason: string(code.Reason)}
		again := code.Code == stun.CodeStaleNonce || code.Code == stun.CodeUnauthorized && c == nil
		if !again || !s.signer.learn(m) {
			break
		}
	}
	return nil, refused
}

// acquireSlot waits until few enough requests are without an answer.
func (s *serverConn) acquireSlot() error {
	limit := time.NewTimer(s.answer)
	defer limit.Stop()
	select {
	case s.slots <- struct{}{}:
		return nil
	case <-s.closed:
		return s.cause
	case <-limit.C:
		return errQueueFull
	}
}

// exchange sends one request and returns its response.
func (s *serverConn) exchange(method stun.Method, c *challenge, attributes []stun.Setter) (*stun.Message, error) {
	setters := append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, attributes...)
	if c != nil {
		setters = append(setters, stun.NewUsername(s.signer.username), c.realm, c.nonce, c.key)
	}
	request, err := stun.Build(append(setters, stun.Fingerprint)...)
	if err != nil {
		return nil, fmt.Errorf("build a request: %w", err)
	}
	result, err := s.client.PerformTransaction(request, s.conn.RemoteAddr(), false)
	switch {
	case err != nil:
		select {
		case <-s.closed:
			return nil, s.cause
		default:
			return nil, noAnswer(err, s.answer)
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
	return noAnswerError(answer)
}
