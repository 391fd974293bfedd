package signal

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"syscall"
	"time"
)

// maxQuoted bounds what is repeated of a server's own words, in bytes.
const maxQuoted = 200

var (
	errClosed      = errors.New("the server closed the connection")
	errStreamEnd   = errors.New("the server ended the stream")
	errSilent      = fmt.Errorf("the server has not answered a ping for %v", pingTimeout)
	errUnanswered  = fmt.Errorf("the server has not answered a ping for %v", checkTimeout)
	errMoved       = errors.New("the addresses of this machine have changed")
	errClockSet    = errors.New("the clock of this machine was set")
	errRenamed     = errors.New("name resolution has changed")
	errNoStartTLS  = errors.New("the server offers no STARTTLS, and nothing is sent unencrypted: enable encryption there, or set direct TLS and its port")
	errInjected    = errors.New("the server sent data between its consent to STARTTLS and TLS: somebody may be tampering with the connection")
	errNotXMPP     = errors.New("the server does not speak XMPP 1.0: check address and port")
	errNoBinding   = errors.New("the server offers no resource binding after login")
	errServerProof = errors.New("the server did not prove that it knows the password: it may be an impostor, nothing more was sent")
	errSlow        = errors.New("the server did not complete the login in time")
	errRunsAlready = errors.New("the XMPP session runs already")
)

// loginRefused is an answer that trying again soon will not change.
type loginRefused struct {
	account string
	reason  string
}

func (e *loginRefused) Error() string {
	return fmt.Sprintf("the server refused the login of %s: %s: check the account on the server and its password file or certificate, which is read again at each attempt", e.account, e.reason)
}

// streamErrors says what the conditions of RFC 6120, section 4.9.3, mean for an operator.
var streamErrors = map[string]string{
	"conflict":                 "another client took over this session: each engine needs an account of its own",
	"connection-timeout":       "the server gave this connection up",
	"host-gone":                "the server no longer serves the JID's domain: check the JID",
	"host-unknown":             "the server does not serve the JID's domain: check the JID and the server's address",
	"internal-server-error":    "the server has an internal error: see its log",
	"not-authorized":           "the server takes this session as not logged in: see its log",
	"policy-violation":         "the server says its policy is violated, such as a limit on size or rate: see its configuration",
	"remote-connection-failed": "the server does not reach a service that it needs to log us in: see its log",
	"reset":                    "the server asks for a new connection",
	"resource-constraint":      "the server lacks the resources to serve us: see its log",
	"see-other-host":           "the server names another host to connect to: set that as the server",
	"system-shutdown":          "the server shuts down",
	"unsupported-version":      "the server does not support XMPP 1.0: check address and port",
}

// streamError makes a sentence of the server's last words.
func streamError(n nonza) error {
	condition := n.condition()
	says, known := streamErrors[condition]
	if !known {
		says = "the server ended the stream"
	}
	return fmt.Errorf("%s (stream error %s%s)", says, quote(condition), quoteText(n.Text))
}

// quote bounds and escapes words of the server for a log line.
func quote(s string) string {
	if len(s) > maxQuoted {
		s = s[:maxQuoted] + "…"
	}
	return strconv.Quote(s)
}

func quoteText(s string) string {
	if s == "" {
		return ""
	}
	return ": " + quote(s)
}

// readError names the plain cases of a broken connection.
func readError(err error) error {
	var breach violation
	var much excess
	var syntax *xml.SyntaxError
	var unmarshal xml.UnmarshalError
	switch {
	case errors.As(err, &breach):
		return breach
	case errors.As(err, &much):
		return much
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), gone(err):
		return errClosed
	case errors.As(err, &syntax) && syntax.Msg == "unexpected EOF":
		return errClosed
	case errors.As(err, &syntax), errors.As(err, &unmarshal):
		return fmt.Errorf("the server sent broken XML: connection closed (%s)", quote(err.Error()))
	}
	return fmt.Errorf("read from the server: %w", err)
}

// tlsError adds what to do about a certificate.
func tlsError(host string, err error) error {
	advice := ""
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verification *tls.CertificateVerificationError
	switch {
	case errors.As(err, &unknown):
		advice = ": if a private authority signed it, name its file as the service's CA"
	case errors.As(err, &name):
		advice = ": the server needs a certificate for the JID's domain, wherever it runs"
	case errors.As(err, &invalid), errors.As(err, &verification):
		advice = ": the server needs a valid certificate, and this machine the right time"
	}
	return fmt.Errorf("verify the server as %s, nothing was sent to it: %w%s", host, err, advice)
}

// pause is a delay as it is written in a log line.
func pause(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }

// writeError words the error of a write; a closed connection shows there or at the
// next read, whichever comes first.
func writeError(err error) error {
	if gone(err) {
		return errClosed
	}
	return fmt.Errorf("write to the server: %w", err)
}

// gone reports whether the other end has closed or reset the connection.
func gone(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.ErrClosedPipe)
}
