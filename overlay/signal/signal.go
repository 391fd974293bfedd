// Package signal keeps one XMPP session of one account (RFC 6120, RFC 6121): it
// connects, encrypts, logs in, announces this engine by its presence, and carries
// small opaque payloads between accounts, reconnecting for ever.
//
// It can join rooms (XEP-0045) that are non-anonymous and members-only, to know their
// members and to be seen by them.
//
// It is not an XMPP client for people: no chat, and it does not know what its
// payloads mean nor who is a member of what. A message
// is handed up with the sender's address as the server vouches for it; whether
// that sender may be heard is the caller's decision.
//
// Run drives the session and is called once. A Handler is called by one goroutine
// only, in the order the server sent the stanzas. Send, SetExtension, Check, Reconnect,
// NamesChanged, Status and Faults may be called at any time from any goroutine.
//
// The server and every peer are untrusted: a stanza is bounded in size, depth and
// attributes while it is being decoded; document type declarations, processing
// instructions and comments end the connection (RFC 6120, section 11.1); addresses
// are taken from the unprefixed attributes alone; and replies are accepted only
// from whom the request went to.
package signal

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/net/idna"
)

// MaxPayload is the largest payload of a message or presence, in bytes.
const MaxPayload = 8 << 10

// MaxRooms is how many rooms one session joins.
const MaxRooms = 16

var (
	// ErrNotConnected is returned by Send while there is no session.
	ErrNotConnected = errors.New("not connected to the XMPP server")
	// ErrTooLarge is returned by Send for more than MaxPayload bytes.
	ErrTooLarge = fmt.Errorf("payload over %d bytes", MaxPayload)
)

// Config describes one account on one server.
type Config struct {
	// Server is where to connect: host, host:port or :port. An empty host stands
	// for the JID's domain, an absent port for 5222, or 5223 with DirectTLS. Where it
	// is empty, SRV records of the domain name the server, if there are any.
	Server string
	// DirectTLS starts TLS at once (XEP-0368) in place of STARTTLS.
	DirectTLS bool
	// JID is the bare address user@domain. The server's certificate must be the domain's.
	JID string
	// Password is asked at each login, so that a rotated file takes effect.
	// It may be nil where Certificate is given.
	Password func() (string, error)
	// SASL says by which mechanisms the account logs in.
	SASL SASL
	// Offers keeps what the server has offered, over restarts; nil: nobody does.
	Offers Offers
	// Certificate is the account's own, by which it logs in where the server takes
	// that (SASL EXTERNAL, XEP-0178). Asked at each login; nil: none.
	Certificate func() (*tls.Certificate, error)
	// Refresh is how often the roster is fetched anew while the session stands, and the
	// lists of rooms, these each 5 min at least. 0: the roster never.
	Refresh time.Duration
	// Rooms are joined; bare JIDs as ParseRoom returns them.
	Rooms []string
	// RootCAs are trusted to sign the server's certificate; nil: the system's.
	RootCAs *x509.CertPool
	// Extension is the payload of our presence, at most MaxPayload bytes.
	Extension []byte
	// Resolver finds the server by its name; nil: net.DefaultResolver.
	Resolver Resolver
	// Dial opens a TCP connection to an IP address and port; nil: net.Dialer with a
	// time-out of 10 s.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Log receives what an operator cares about, at level Info and above.
	Log *logrus.Entry
}

// Handler receives what happens on the session. All calls come from the goroutine
// of Run and must not block: nothing else is read meanwhile, and 40 s without
// reading end the connection. Send may be called from within.
//
// After Up comes Roster, then everything else until Down; then Up again. Occupants and
// members of rooms are given by their real addresses.
type Handler interface {
	// Up: logged in as the full JID, roster fetched, presence sent.
	Up(full string)
	// Down: the connection is lost; called once for each Up.
	Down(err error)
	// Roster is the whole roster, sorted by JID, at each login, each Config.Refresh, and
	// after each change.
	Roster(items []Item)
	// Presence of a full JID but this session's own; extension is nil where it
	// carries none of ours.
	Presence(from string, available bool, extension []byte)
	// Room tells what a room of Config.Rooms says of its members.
	Room(room string, change RoomChange)
	// Occupant is what Presence is, as a room passes it on.
	Occupant(room, from string, available bool, extension []byte)
	// Message is the payload of a message from a full JID, member or stranger.
	Message(from string, payload []byte)
}

// Item is one contact of the roster (RFC 6121, section 2.1.2).
type Item struct {
	JID          string // bare
	Subscription string // none, to, from or both
	Groups       []string
}

// RoomChange is news of a room.
type RoomChange struct {
	Members  []string // bare JIDs of members
	Removed  []string // bare JIDs of those who are none any more
	Complete bool     // Members is the whole list: whoever is not on it is no member
	// Err is why the room cannot be used now and what to do, or nil. An outage is an
	// Err alone; with Closed nobody is a member, because the room is gone, does not
	// have us, or is not set up as it must be.
	Err    error
	Closed bool
}

// Status is a snapshot of the session.
type Status struct {
	Connected bool
	JID       string    // full while connected
	Server    string    // host:port that is connected, or was tried last; empty before
	Since     time.Time // of the current state
	LastError string    // why the last connection ended or did not come up
	Failures  uint64    // connections that ended or did not come up
	Logins    uint64
	Sent      uint64            // messages
	Received  uint64            // messages that were handed up
	Ignored   map[string]uint64 // stanzas that were not handed up, by cause
}

// New checks the configuration and does no I/O.
func New(cfg Config, h Handler) (*Client, error) {
	local, domain, err := splitAccount(cfg.JID)
	faults := []error{err}
	ascii, err := hostNames().ToASCII(domain)
	if err != nil && domain != "" {
		faults = append(faults, fmt.Errorf("JID %q: domain %q is not a host name", cfg.JID, domain))
	}
	server, err := serverAddress(cfg.Server, ascii, cfg.DirectTLS)
	faults = append(faults, err)
	if cfg.Password == nil && cfg.Certificate == nil {
		faults = append(faults, errors.New("no password: name the account's password file, or its certificate"))
	}
	if len(cfg.Rooms) > MaxRooms {
		faults = append(faults, fmt.Errorf("%d rooms: join %d at most with one account", len(cfg.Rooms), MaxRooms))
	}
	for _, jid := range cfg.Rooms {
		if room, err := ParseRoom(jid); err != nil || room != jid {
			faults = append(faults, errors.Join(err, fmt.Errorf("room %q is not written as servers do", jid)))
		}
	}
	if len(cfg.Extension) > MaxPayload {
		faults = append(faults, fmt.Errorf("presence extension: %w", ErrTooLarge))
	}
	if cfg.Log == nil || h == nil {
		faults = append(faults, errors.New("a logger and a handler are needed"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("XMPP account: %w", err)
	}
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	if cfg.Resolver == nil {
		cfg.Resolver = net.DefaultResolver
	}
	return &Client{
		cfg:       cfg,
		handler:   h,
		log:       cfg.Log.WithFields(logrus.Fields{"account": cfg.JID, "server": server.String()}),
		account:   accountConfig{local: local, domain: domain, host: ascii, server: server, discover: cfg.Server == ""},
		extension: append([]byte{}, cfg.Extension...),
		announce:  make(chan struct{}, 1),
		check:     make(chan struct{}, 1),
		rooms:     map[string]string{},
		status:    Status{Since: time.Now(), Ignored: map[string]uint64{}},
	}, nil
}

// hostNames says what may stand in a certificate (RFC 5890).
func hostNames() *idna.Profile {
	return idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(true), idna.VerifyDNSLength(true))
}

// accountConfig is what New made of the configuration.
type accountConfig struct {
	local, domain string
	host          string // the domain as in certificates (RFC 5890 A-labels)
	server        endpoint
	discover      bool // SRV records of the domain come before server
}

func (a accountConfig) bare() string { return a.local + "@" + a.domain }

func serverAddress(server, domain string, direct bool) (endpoint, error) {
	host, port := server, ""
	if strings.HasSuffix(server, "]") { // [v6] without a port
		host = strings.Trim(server, "[]")
	} else if strings.Contains(server, ":") {
		var err error
		if host, port, err = net.SplitHostPort(server); err != nil {
			return endpoint{}, fmt.Errorf("server %q: write host, host:port or [IPv6]:port", server)
		}
	}
	if host == "" {
		host = domain
	}
	switch {
	case port != "":
		if _, err := net.LookupPort("tcp", port); err != nil {
			return endpoint{}, fmt.Errorf("server %q: port %q is not 1 to 65535", server, port)
		}
	case direct:
		port = "5223"
	default:
		port = "5222"
	}
	return endpoint{host: host, port: port}, nil
}
