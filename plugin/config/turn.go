package config

import (
	"strings"
	"unicode"

	"evio/datapath/turn"
)

// maxUsername is in bytes; an expiry fits before it (RFC 8489 section 14.3).
const maxUsername = 256

// TURN is a relay (RFC 8656) and what it asks of its users.
type TURN struct {
	// URI is turn:host:port?transport=udp or tcp, or turns:host:port for TLS (RFC 7065);
	// without a port 3478 or 5349.
	URI string `json:"uri"`
	// Username is the account of PasswordFile; with SecretFile it may be left out and is
	// what stands behind the expiry in the user name.
	Username string `json:"username"`
	// PasswordFile or SecretFile, one of them, holds on its first line the password or
	// the secret that the server shares with its users (use-auth-secret in coturn). It
	// is read at each allocation.
	PasswordFile string `json:"password_file"`
	SecretFile   string `json:"secret_file"`
	// CAFile holds the PEM certificates that may have signed the server's, with turns
	// only; empty: those that web browsers trust.
	CAFile string `json:"ca_file"`
}

func (s TURN) validate(fs *Faults, at string) {
	uri, err := turn.ParseURI(s.URI)
	if err != nil {
		fs.add(at+".uri", "%v; write it like turn:turn.example.org:3478?transport=udp, or turns:turn.example.org:5349 for TLS", err)
	}
	switch {
	case s.PasswordFile == "" && s.SecretFile == "":
		fs.add(at+".password_file", missing+"; give password_file, or secret_file where the server shares a secret with its users")
	case s.PasswordFile != "" && s.SecretFile != "":
		fs.add(at+".secret_file", "password_file is given too; keep the one that the server asks for")
	}
	switch {
	case len(s.Username) > maxUsername || strings.ContainsFunc(s.Username, unicode.IsControl):
		fs.add(at+".username", "this is no user name; use up to %d bytes without control characters", maxUsername)
	case s.Username == "" && s.SecretFile == "":
		fs.add(at+".username", missing+"; give the account that the password in password_file belongs to")
	}
	file(fs, at+".password_file", s.PasswordFile)
	file(fs, at+".secret_file", s.SecretFile)
	file(fs, at+".ca_file", s.CAFile)
	if s.CAFile != "" && err == nil && uri.Transport != turn.TLS {
		fs.add(at+".ca_file", "this server is not reached by TLS; write its uri with turns: or leave ca_file out")
	}
}
