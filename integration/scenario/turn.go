package scenario

import (
	"fmt"

	"evio/integration/testbed"
	"evio/plugin/config"
)

// TURN configures the lab's TURN server with its long-term credentials, by each of
// the transports in that order: udp, tcp, tls.
func TURN(transports ...string) Change {
	return func(s *Site, f *config.File) {
		user, _ := s.lab.Internet().TURN.Credentials()
		f.TURN = []config.TURN{}
		for _, transport := range transports {
			server := config.TURN{
				URI: fmt.Sprintf("turn:%s:3478?transport=%s", testbed.TURNName, transport), Username: user, PasswordFile: turnPasswordFile,
			}
			if transport == "tls" {
				server.URI, server.CAFile = fmt.Sprintf("turns:%s:5349", testbed.TURNName), caFile
			}
			f.TURN = append(f.TURN, server)
		}
	}
}

// TURNSecret configures the lab's second TURN server, which shares a secret, by UDP.
func TURNSecret() Change {
	return func(_ *Site, f *config.File) {
		f.TURN = []config.TURN{{
			URI: fmt.Sprintf("turn:%s:3478?transport=udp", testbed.TURN2Name), SecretFile: turnSecretFile,
		}}
	}
}

// At makes a change at one site only.
func At(site string, change Change) Change {
	return func(s *Site, f *config.File) {
		if s.Name() == site {
			change(s, f)
		}
	}
}
