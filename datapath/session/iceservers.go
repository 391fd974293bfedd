package session

import (
	"crypto/x509"
	"fmt"
	"strings"

	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"

	"evio/datapath/turn"
)

// TURNAccess is the Credential of an ICE server with turn: and turns: URLs. Its functions are
// called at each allocation, so a file may change while the process runs.
type TURNAccess struct {
	Password func() (string, error)         // long-term credentials
	Secret   func() (string, error)         // in place of Password: a shared secret that credentials are made of
	RootCAs  func() (*x509.CertPool, error) // for turns: URLs; nil: the system's authorities
}

// iceServers sorts servers by protocol. Both kinds keep their order.
func iceServers(all []webrtc.ICEServer) (reflectors []*stun.URI, turns []turn.Server, err error) {
	for _, s := range all {
		for _, url := range s.URLs {
			if scheme, _, _ := strings.Cut(url, ":"); strings.EqualFold(scheme, "turn") || strings.EqualFold(scheme, "turns") {
				server, err := turnServer(s, url)
				if err != nil {
					return nil, nil, err
				}
				turns = append(turns, server)
				continue
			}
			uri, err := stun.ParseURI(url)
			if err != nil || uri.Scheme != stun.SchemeTypeSTUN || uri.Port < 1 || uri.Port > 65535 {
				return nil, nil, fmt.Errorf("ICE server %q: write it like stun:stun.example.org:3478", url)
			}
			reflectors = append(reflectors, uri)
		}
	}
	return reflectors, turns, nil
}

// turnServer returns the server of one URL. Package turn checks the text.
func turnServer(s webrtc.ICEServer, url string) (turn.Server, error) {
	access, known := s.Credential.(TURNAccess)
	if !known || s.CredentialType != webrtc.ICECredentialTypePassword {
		return turn.Server{}, fmt.Errorf("ICE server %q: its credential has to be a TURNAccess, and of type password", url)
	}
	return turn.Server{
		URI: url, Username: s.Username, Password: access.Password, Secret: access.Secret, RootCAs: access.RootCAs,
	}, nil
}
