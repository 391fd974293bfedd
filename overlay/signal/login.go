package signal

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"gosrc.io/xmpp/stanza"

	"evio/wall"
)

const (
	dialTimeout  = 10 * time.Second
	loginTimeout = 30 * time.Second // from dialling to the roster
)

// login is what a completed login leaves.
type login struct {
	*stream
	full   string // our full JID
	roster roster
}

// logIn connects, encrypts, authenticates, binds a resource, fetches the roster and
// sends the initial presence, all within loginTimeout. On an error the connection
// is closed. Nothing of the account but its domain leaves before TLS is verified.
func (c *Client) logIn(ctx context.Context) (*login, error) {
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	with, err := c.credentials()
	if err != nil {
		return nil, err
	}
	endpoints, err := c.endpoints(ctx)
	if err != nil {
		return nil, err
	}
	return anyOf(ctx, endpoints, loginTimeout, func(ctx context.Context, at endpoint) (*login, error) {
		return c.logInAt(ctx, at, with)
	})
}

// logInAt is logIn at one endpoint.
func (c *Client) logInAt(ctx context.Context, at endpoint, with credentials) (*login, error) {
	c.setServer(at)
	conn, err := c.connect(ctx, at)
	if err != nil {
		return nil, err
	}
	// Closing the TCP connection beneath TLS wakes whatever waits on it.
	wake := context.AfterFunc(ctx, func() { _ = conn.Close() })
	l, err := c.converse(ctx, conn, with)
	if !wake() { // ctx ended and took the connection along
		return nil, errSlow
	}
	if err != nil {
		_ = conn.Close() // err says why
		return nil, err
	}
	return l, nil
}

// credentials are read anew at each login, so that rotated files take effect.
func (c *Client) credentials() (with credentials, err error) {
	with.jid, with.user = c.account.bare(), c.account.local
	if c.cfg.Certificate != nil {
		if with.certificate, err = c.cfg.Certificate(); err != nil {
			return with, fmt.Errorf("certificate of %s: %w", with.jid, err)
		}
	}
	if c.cfg.Password != nil {
		if with.password, err = c.cfg.Password(); err != nil {
			return with, fmt.Errorf("password of %s: %w", with.jid, err)
		}
	}
	return with, nil
}

func (c *Client) converse(ctx context.Context, conn net.Conn, with credentials) (*login, error) {
	s, state, err := c.secure(ctx, conn, with.certificate)
	if err != nil {
		return nil, err
	}
	f, err := s.open(c.account.domain)
	if err != nil {
		return nil, err
	}
	m, err := chooseMechanism(f, with, state)
	if err != nil {
		return nil, &loginRefused{c.account.bare(), err.Error()}
	}
	before, unread := c.before()
	if err := c.cfg.SASL.permit(m.name, with, before, unread); err != nil {
		return nil, err
	}
	if m.name == plain {
		c.log.Warn("the XMPP server offers no SCRAM: the password itself is sent to it, inside verified TLS")
	}
	if err := s.authenticate(m); err != nil {
		var failure *saslFailure
		if errors.As(err, &failure) && failure.condition != "temporary-auth-failure" {
			return nil, &loginRefused{c.account.bare(), failure.Error()}
		}
		return nil, fmt.Errorf("authenticate by %s: %w", m.name, err)
	}
	c.remember(offerOf(f, m.name), before, unread)
	if f, err = s.open(c.account.domain); err != nil {
		return nil, err
	}
	if f.Bind == nil {
		return nil, errNoBinding
	}
	l := &login{stream: s}
	if l.full, err = s.bind(c.account.bare(), c.ignore); err != nil {
		return nil, err
	}
	if l.roster, err = s.fetchRoster(l.full, c.ignore); err != nil {
		return nil, err
	}
	return l, c.sendPresence(s)
}

// secure returns a stream inside TLS 1.2 or later, verified against the JID's domain.
// The server gets to see our certificate, if there is one and it asks for it.
func (c *Client) secure(ctx context.Context, conn net.Conn, own *tls.Certificate) (*stream, *tls.ConnectionState, error) {
	conf := &tls.Config{ServerName: c.account.host, RootCAs: c.cfg.RootCAs, MinVersion: tls.VersionTLS12, Time: wall.Now}
	if own != nil {
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own, nil }
	}
	if c.cfg.DirectTLS {
		conf.NextProtos = []string{"xmpp-client"} // XEP-0368, section 4
	} else if err := newStream(conn, conn).startTLS(c.account.domain); err != nil {
		return nil, nil, err
	}
	secured := tls.Client(conn, conf)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, nil, tlsError(c.account.host, err)
	}
	state := secured.ConnectionState()
	return newStream(secured, conn), &state, nil
}

// startTLS asks for encryption (RFC 6120, section 5) and goes no further without.
func (s *stream) startTLS(domain string) error {
	f, err := s.open(domain)
	if err != nil {
		return err
	}
	if f.StartTLS == nil {
		return errNoStartTLS
	}
	if err := s.write([]byte("<starttls xmlns='" + nsTLS + "'/>")); err != nil {
		return err
	}
	start, err := s.next()
	if err != nil {
		return err
	}
	if _, err := s.nonza(start); err != nil {
		return err
	}
	if start.Name != (xml.Name{Space: nsTLS, Local: "proceed"}) {
		return errNoStartTLS
	}
	if s.in.buffered.Buffered() > 0 {
		return errInjected
	}
	return nil
}

// bind asks for a resource of our choice and returns the full JID (RFC 6120, section 7).
func (s *stream) bind(bare string, ignore func(cause string)) (string, error) {
	resource := "evio-" + randomHex(4)
	id := randomHex(8)
	b, err := requestXML(stanza.IQTypeSet, "", id, &stanza.Bind{Resource: resource})
	if err != nil {
		return "", fmt.Errorf("bind a resource: %w", err)
	}
	if err := s.write(b); err != nil {
		return "", err
	}
	// Before a resource is bound only the server can speak to us.
	q, err := s.await(id, func(string) bool { return true }, ignore)
	if err != nil {
		return "", fmt.Errorf("bind a resource: %w", err)
	}
	if q.bind == nil || !isFull(q.bind.Jid) || !strings.EqualFold(bareOf(q.bind.Jid), bare) {
		return "", fmt.Errorf("bind a resource: the server did not make us %s/%s", bare, resource)
	}
	return q.bind.Jid, nil
}

// fetchRoster asks for the roster (RFC 6121, section 2.1.3).
func (s *stream) fetchRoster(full string, ignore func(cause string)) (roster, error) {
	id := randomHex(8)
	b, err := requestXML(stanza.IQTypeGet, "", id, &stanza.RosterItems{})
	if err != nil {
		return nil, fmt.Errorf("fetch the roster: %w", err)
	}
	if err := s.write(b); err != nil {
		return nil, err
	}
	q, err := s.await(id, func(from string) bool { return ownAccount(from, full) }, ignore)
	if err != nil {
		return nil, fmt.Errorf("fetch the roster: %w", err)
	}
	return newRoster(q.roster), nil
}

// await reads up to the reply with this id from a sender that may give it (RFC 6120,
// section 8.1.2.1). What else comes is ignored except for requests, which are declined.
func (s *stream) await(id string, trust func(from string) bool, ignore func(cause string)) (query, error) {
	for {
		start, err := s.next()
		if err != nil {
			return query{}, err
		}
		if start.Name != (xml.Name{Space: stanza.NSClient, Local: "iq"}) {
			if err := s.dec.Skip(); err != nil {
				return query{}, readError(err)
			}
			ignore(ignoredEarly)
			continue
		}
		q, err := s.query(start, trust)
		if err != nil {
			return query{}, err
		}
		switch {
		case isRequest(q):
			ignore(ignoredEarly)
			b, err := replyXML(q.from, q.id, "service-unavailable")
			if err != nil {
				return query{}, err
			}
			if err := s.write(b); err != nil {
				return query{}, err
			}
		case q.id != id || !trust(q.from):
			ignore(ignoredReply)
		case q.typ != string(stanza.IQTypeResult):
			return query{}, fmt.Errorf("the server declined: %s", faultText(q.fault))
		default:
			return q, nil
		}
	}
}

func isRequest(q query) bool {
	return q.typ == string(stanza.IQTypeGet) || q.typ == string(stanza.IQTypeSet)
}

// ownAccount reports whether from stands for our account on the server: no address,
// or our bare JID. Some servers give our full JID in its place.
func ownAccount(from, full string) bool {
	return from == "" || from == bareOf(full) || from == full
}

func faultText(e *nonza) string {
	if e == nil {
		return noReason
	}
	return quote(e.condition()) + quoteText(e.Text)
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
