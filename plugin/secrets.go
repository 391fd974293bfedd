package main

import (
	"crypto/x509"

	"github.com/pion/webrtc/v4"

	"evio/datapath/session"
	"evio/plugin/config"
)

// iceServers gives the data path the servers of the settings, those of TURN with functions
// that read their files at each use.
func iceServers(s config.Settings) []webrtc.ICEServer {
	var servers []webrtc.ICEServer
	for _, server := range s.STUN {
		servers = append(servers, webrtc.ICEServer{URLs: []string{"stun:" + server}})
	}
	for _, t := range s.TURN {
		var access session.TURNAccess
		if t.PasswordFile != "" {
			access.Password = func() (string, error) { return config.ReadPassword(s.HostPath(t.PasswordFile)) }
		}
		if t.SecretFile != "" {
			access.Secret = func() (string, error) { return config.ReadTURNSecret(s.HostPath(t.SecretFile)) }
		}
		if t.CAFile != "" {
			access.RootCAs = func() (*x509.CertPool, error) { return config.ReadCAs(s.HostPath(t.CAFile)) }
		}
		servers = append(servers, webrtc.ICEServer{URLs: []string{t.URI}, Username: t.Username, Credential: access})
	}
	return servers
}
