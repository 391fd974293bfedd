package scenario

import (
	"context"
	"encoding/json"

	"evio/integration/testbed"
	"evio/plugin/config"
)

// Files of every site.
const (
	caFile           = "/etc/evio/ca.pem"
	turnPasswordFile = "/etc/evio/turn"        //nolint:gosec // the name of a file, no password
	turnSecretFile   = "/etc/evio/turn-secret" //nolint:gosec // the name of a file, no secret
)

// Change alters the configuration of a site before it is written.
type Change func(*Site, *config.File)

// Configure writes the site's configuration file, passwords and CA.
func (s *Site) Configure(ctx context.Context, lab *testbed.Lab, change ...Change) error {
	f := config.Default()
	f.Site = s.Name()
	// Empty ones, since null is no value.
	f.TURN, f.Secrets, f.Claims = []config.TURN{}, map[string]string{}, map[string][]string{}
	f.Signalling = []config.Service{{ //nolint:gosec // the name of a file, no password
		Server: lab.Internet().XMPP.StartTLSAddress(), TLS: config.StartTLS, JID: s.Account.JID,
		PasswordFile: "/etc/evio/password", CAFile: caFile,
		Overlays: map[string]string{config.AnyOverlay: config.Roster},
	}}
	f.STUN = []string{testbed.STUNName + ":3478"}
	f.Log.Level = "debug"
	for _, c := range change {
		c(s, &f)
	}
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	_, turn := lab.Internet().TURN.Credentials()
	for _, file := range []struct {
		name string
		data []byte
	}{
		{"/etc/evio/password", []byte(s.Account.Password + "\n")},
		{caFile, lab.Internet().CA()},
		{turnPasswordFile, []byte(turn + "\n")},
		{turnSecretFile, []byte(lab.Internet().TURN2.Secret() + "\n")},
		{"/etc/evio/config.json", b},
	} {
		if err := s.WriteFile(ctx, file.name, file.data, 0o600); err != nil {
			return err
		}
	}
	return nil
}
