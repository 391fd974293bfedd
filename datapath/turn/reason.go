package turn

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/pion/stun/v4"
	"golang.org/x/sys/unix"
)

// isUntrusted reports whether a certificate was not accepted.
func isUntrusted(err error) bool {
	var certificate *tls.CertificateVerificationError
	return errors.As(err, &certificate)
}

// isRejected reports whether a server has refused the credentials.
func isRejected(err error) bool {
	var r *refusedError
	return errors.As(err, &r) && (r.code == stun.CodeUnauthorized || r.code == stun.CodeWrongCredentials || r.code == stun.CodeBadRequest)
}

// explain says in one sentence why a server cannot be used and what to do.
func explain(err error, s *server) string {
	var (
		refused *refusedError
		name    *net.DNSError
		silent  noAnswerError
		record  tls.RecordHeaderError
	)
	switch {
	case errors.Is(err, errExpired):
		return errExpired.Error()
	case errors.As(err, &refused):
		return refused.explain(s)
	case isUntrusted(err):
		by := "the system's authorities; give it a ca_file if its authority is a private one"
		if s.config.RootCAs != nil {
			by = "ca_file; check that file and the names in the server's certificate"
		}
		return fmt.Sprintf("its certificate is not verified by %s (%v)", by, err)
	case errors.As(err, &record):
		return "it does not speak TLS at this port; write turn: or name its TLS port"
	case errors.As(err, &name) && name.IsTimeout:
		return fmt.Sprintf("the name %s is not resolved, since no DNS server answers; check the DNS of this engine", s.uri.Host)
	case errors.As(err, &name):
		return fmt.Sprintf("the name %s is not resolved; check the name and the DNS of this engine", s.uri.Host)
	case errors.As(err, &silent):
		return fmt.Sprintf("%v; check that it runs, and that firewalls let %s to port %d pass", silent, s.network(), s.uri.Port)
	case errors.Is(err, unix.ECONNREFUSED):
		return fmt.Sprintf("connection refused; check that it runs and listens at %s port %d", s.network(), s.uri.Port)
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH):
		return "it cannot be reached from here; check the routes of this engine, for each family that its name has addresses of"
	case errors.Is(err, io.EOF), errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE), errors.Is(err, io.ErrUnexpectedEOF):
		return "it ended the connection; its log may say why"
	default:
		return err.Error()
	}
}

func (s *server) network() string {
	if s.uri.Transport == UDP {
		return "UDP"
	}
	return "TCP"
}

// explain says what an error response means (RFC 8656 section 19).
func (r *refusedError) explain(s *server) string {
	text := "check its log"
	switch r.code {
	case stun.CodeUnauthorized, stun.CodeWrongCredentials:
		text = "wrong username or password"
		if s.config.Secret != nil {
			text = "wrong secret, or the clocks of server and engine differ by a day"
		}
	case stun.CodeBadRequest: // what some servers answer to wrong credentials
		text = "it does not take the request; check username and password"
		if s.config.Secret != nil {
			text = "it does not take the request; check the secret"
		}
	case stun.CodeForbidden:
		text = "it refuses this engine or its peers; see its allowed and denied addresses"
	case stun.CodeAllocMismatch:
		text = "it does not know the relayed address any more; it was probably restarted"
	case stun.CodeAllocQuotaReached:
		text = "the quota of relayed addresses of this user is used up; raise it at the server"
	case stun.CodeInsufficientCapacity:
		text = "it has no relayed address left; widen its range of ports"
	case stun.CodeTryAlternate:
		text = "it sends clients to another server; name that one"
	default:
	}
	return fmt.Sprintf("it answers %d: %s", int(r.code), text)
}
