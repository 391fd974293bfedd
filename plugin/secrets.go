package main

import (
	"crypto/x509"

	"evio/datapath/turn"
	"evio/plugin/config"
)

// turnServers gives the data path the servers of the settings, with functions that
// read their files at each use.
func turnServers(s config.Settings) []turn.Server {
	var servers []turn.Server
	for _, t := range s.TURN {
		server := turn.Server{URI: t.URI, Username: t.Username}
		if t.PasswordFile != "" {
			server.Password = func() (string, error) { return config.ReadPassword(s.HostPath(t.PasswordFile)) }
		}
		if t.SecretFile != "" {
			server.Secret = func() (string, error) { return config.ReadTURNSecret(s.HostPath(t.SecretFile)) }
		}
		if t.CAFile != "" {
			server.RootCAs = func() (*x509.CertPool, error) { return config.ReadCAs(s.HostPath(t.CAFile)) }
		}
		servers = append(servers, server)
	}
	return servers
}

// overlaySecrets returns, by overlay, what reads its secret.
func overlaySecrets(s config.Settings) map[string]func() ([]byte, error) {
	secrets := make(map[string]func() ([]byte, error), len(s.Secrets))
	for overlay, path := range s.Secrets {
		secrets[overlay] = func() ([]byte, error) { return config.ReadOverlaySecret(s.HostPath(path)) }
	}
	return secrets
}
