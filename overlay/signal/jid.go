package signal

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"gosrc.io/xmpp/stanza"
)

// maxJIDPart bounds each part of an address (RFC 7622, section 3.1).
const maxJIDPart = 1023

// splitAccount takes a configured bare JID apart.
func splitAccount(jid string) (local, domain string, err error) {
	j, err := parseJID(jid)
	switch {
	case err != nil:
		return "", "", fmt.Errorf("JID %q: %w", jid, err)
	case j.Node == "" || strings.Contains(jid, "/"):
		return "", "", fmt.Errorf("JID %q: write user@domain without a resource", jid)
	}
	return j.Node, j.Domain, nil
}

// ParseRoom checks the address of a room and returns it as servers write it.
func ParseRoom(jid string) (string, error) {
	j, err := parseJID(jid)
	if err != nil {
		return "", fmt.Errorf("room %q: %w", jid, err)
	}
	if j.Node == "" || strings.Contains(jid, "/") {
		return "", fmt.Errorf("room %q: write ROOM@SERVICE, such as evio@conference.example.org", jid)
	}
	return strings.ToLower(jid), nil
}

// parseJID checks an address. Servers hand out addresses in canonical form, so
// they are compared byte for byte and never changed here.
func parseJID(jid string) (*stanza.Jid, error) {
	if !utf8.ValidString(jid) {
		return nil, errors.New("not UTF-8")
	}
	j, err := stanza.NewJid(jid)
	if err != nil {
		return nil, err
	}
	if max(len(j.Node), len(j.Domain), len(j.Resource)) > maxJIDPart {
		return nil, fmt.Errorf("a part over %d bytes", maxJIDPart)
	}
	return j, nil
}

// isFull reports whether jid names one connected resource of an account.
func isFull(jid string) bool {
	j, err := parseJID(jid)
	return err == nil && j.Node != "" && j.Resource != ""
}

// validBare reports whether jid is the bare address of an account.
func validBare(jid string) bool {
	j, err := parseJID(jid)
	return err == nil && j.Node != "" && j.Resource == ""
}

// bareOf returns jid without its resource.
func bareOf(jid string) string {
	bare, _, _ := strings.Cut(jid, "/")
	return bare
}
