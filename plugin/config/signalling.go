package config

import (
	"maps"
	"slices"
	"strings"
	"unicode"
)

const (
	maxServices = 8
	maxJIDPart  = 1023 // bytes (RFC 7622 section 3)
	maxGroup    = 1023 // bytes of a roster group's name
)

// Service is one account at one XMPP server.
type Service struct {
	// Server is "host:port"; empty: by SRV records of the JID's domain, or the domain
	// itself, port 5222, or 5223 with direct TLS.
	Server string `json:"server"`
	// TLS is how the connection is protected, StartTLS or DirectTLS; never not at all.
	TLS string `json:"tls"`
	// SASL says how the account logs in: SASLBest, SASLScram or SASLAny.
	SASL string `json:"sasl"`
	// JID is the account, "name@domain", one engine's alone.
	JID string `json:"jid"`
	// PasswordFile holds the password on its first line; it is read at each login. It
	// may be left out where CertificateFile is set.
	PasswordFile string `json:"password_file"`
	// CertificateFile and KeyFile, PEM, log in by a client certificate (SASL EXTERNAL);
	// both or none. They are read at each login.
	CertificateFile string `json:"certificate_file"`
	KeyFile         string `json:"key_file"`
	// CAFile holds the PEM certificates that may have signed the server's; empty:
	// those that web browsers trust.
	CAFile string `json:"ca_file"`
	// Overlays says who is a member, by overlay name or AnyOverlay: Roster, GroupPrefix
	// with the name of a group, or RoomPrefix with the address of a room.
	Overlays map[string]string `json:"overlays"`
}

// Values of [Service.TLS].
const (
	StartTLS  = "starttls"
	DirectTLS = "direct"
)

// Values of [Service.SASL].
const (
	SASLBest  = "best"  // by no mechanism weaker than the best that the server has offered before
	SASLScram = "scram" // by password too, and never by PLAIN, which hands out the password
	SASLAny   = "any"   // by whatever the server offers
)

// Kinds of membership in [Service.Overlays].
const (
	Roster      = "roster" // the contacts in the account's roster
	GroupPrefix = "group:" // those of them that are in the group named behind it
	RoomPrefix  = "room:"  // the members of the room at the address behind it
)

// OverlayNames returns the overlays that s serves, sorted, [AnyOverlay] among them.
func (s Service) OverlayNames() []string {
	return slices.Sorted(maps.Keys(s.Overlays))
}

func (s Service) validate(fs *Faults, at string) {
	if s.Server != "" {
		hostPort(fs, at+".server", s.Server, "xmpp.example.org:5222")
	}
	oneOf(fs, at+".tls", s.TLS, []string{StartTLS, DirectTLS})
	oneOf(fs, at+".sasl", s.SASL, []string{SASLBest, SASLScram, SASLAny})
	jid(fs, at+".jid", s.JID)
	if s.PasswordFile == "" && s.CertificateFile == "" && s.KeyFile == "" {
		fs.add(at+".password_file", missing+"; put the password alone into a file of the host, mode 0600, and give its path")
	}
	switch {
	case s.CertificateFile == "" && s.KeyFile != "":
		fs.add(at+".certificate_file", missing+"; give the client certificate that key_file belongs to, or neither of the two")
	case s.CertificateFile != "" && s.KeyFile == "":
		fs.add(at+".key_file", missing+"; give the private key of certificate_file, or neither of the two")
	}
	file(fs, at+".password_file", s.PasswordFile)
	file(fs, at+".certificate_file", s.CertificateFile)
	file(fs, at+".key_file", s.KeyFile)
	file(fs, at+".ca_file", s.CAFile)
	if len(s.Overlays) == 0 {
		fs.add(at+".overlays", missing+`; name the overlays of this service, such as {"*": "roster"} for all`)
	}
	for _, name := range s.OverlayNames() {
		where := key(at+".overlays", name)
		if !overlayName(name) {
			fs.add(where, "this is no name of an overlay; use up to %d letters, digits, '.', '_' and '-', or * for all", maxOverlay)
		}
		membership(fs, where, s.Overlays[name])
	}
}

// membership checks a value of [Service.Overlays].
func membership(fs *Faults, at, v string) {
	if group, ok := strings.CutPrefix(v, GroupPrefix); ok {
		if strings.TrimSpace(group) == "" || len(group) > maxGroup || strings.ContainsFunc(group, unicode.IsControl) {
			fs.add(at, "%s names no group; write the name of a group of the roster behind %s", shown(v), GroupPrefix)
		}
		return
	}
	if room, ok := strings.CutPrefix(v, RoomPrefix); ok {
		if !isAccount(room) {
			fs.add(at, "%s names no room; write it like room:blue@rooms.example.org", shown(v))
		}
		return
	}
	if v != Roster {
		fs.add(at, "%s is not known; give roster, group:NAME for a group of the roster, or room:ROOM@SERVICE for the members of a room", shown(v))
	}
}

func jid(fs *Faults, at, v string) {
	if !isAccount(v) {
		fs.add(at, "%s is no account; write it like site-a@example.org, without a resource", shown(v))
	}
}

// isAccount reports whether v may be a bare JID with a local part.
func isAccount(v string) bool {
	local, domain, ok := strings.Cut(v, "@")
	bad := func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune("/@\"&'<>", r)
	}
	return ok && local != "" && len(local) <= maxJIDPart && !strings.ContainsFunc(local, bad) && hostName(domain)
}
