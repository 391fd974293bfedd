package testbed

import (
	"context"
	"errors"
	"time"
)

// Names of the STUN and TURN servers in every machine's hosts file.
const (
	STUNName  = "stun.example"
	TURNName  = "turn.example"
	TURN2Name = "turn2.example"
)

// TURN is a STUN and TURN server (coturn): UDP and TCP port 3478, the one with long-term credentials
// also TLS port 5349. STUN needs no credentials.
type TURN struct {
	machine  *Machine
	name     string
	addrs    [2]string // IPv4, IPv6
	user     string
	password string
	secret   string
	args     []string
	process  *Process
}

// Address is the server's host:port, by IPv4.
func (t *TURN) Address() string { return t.addrs[0] + ":3478" }

// Name is the server's in every machine's hosts file, there with the address that fits the site.
func (t *TURN) Name() string { return t.name }

// Credentials are the long-term ones of TURN.
func (t *TURN) Credentials() (user, password string) { return t.user, t.password }

// Secret makes credentials that last for a time (use-auth-secret) at TURN2; empty at TURN.
func (t *TURN) Secret() string { return t.secret }

// Process is the running server.
func (t *TURN) Process() *Process { return t.process }

const (
	turnCertificate = "/etc/turn/server.crt"
	turnKey         = "/etc/turn/server.key"
)

func newTURN(ctx context.Context, m *Machine, ca *authority) (*TURN, error) {
	t := &TURN{
		machine: m, name: TURNName, addrs: [2]string{stunAddr, stunAddr6}, user: "evio", password: "relay-secret",
		args: []string{"--tls-listening-port", "5349", "--cert", turnCertificate, "--pkey", turnKey, "--no-dtls"},
	}
	t.args = append(t.args, "--lt-cred-mech", "--user", t.user+":"+t.password)
	certificate, key, err := ca.issue(TURNName, t.addrs[:]...)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(m.WriteFile(ctx, turnCertificate, certificate, 0o600), m.WriteFile(ctx, turnKey, key, 0o600)); err != nil {
		return nil, err
	}
	return t, t.Start(ctx)
}

func newTURN2(ctx context.Context, m *Machine) (*TURN, error) {
	t := &TURN{machine: m, name: TURN2Name, addrs: [2]string{turn2Addr, turn2Addr6}, secret: "shared-secret-of-turn2"}
	t.args = []string{"--no-tls", "--no-dtls", "--use-auth-secret", "--static-auth-secret", t.secret}
	return t, t.Start(ctx)
}

// Start starts the server and waits until it answers a binding request.
func (t *TURN) Start(ctx context.Context) error {
	args := append([]string{
		"turnserver", "-n",
		"--listening-ip", t.addrs[0], "--listening-ip", t.addrs[1], "--relay-ip", t.addrs[0], "--relay-ip", t.addrs[1],
		"--listening-port", "3478", "--min-port", "50000", "--max-port", "59999",
		"--realm", t.name, "--fingerprint", "--no-cli", "--no-rfc5780", "--no-multicast-peers",
		"--relay-threads", "1", "--log-file", "stdout", "--simple-log", "--verbose",
		"--userdb", "/run/" + t.name + ".db", "--pidfile", "/run/" + t.name + ".pid",
	}, t.args...)
	p, err := t.machine.Start(ctx, t.name, args...)
	if err != nil {
		return err
	}
	t.process = p
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return p.await(ctx, func() error {
		for _, addr := range t.addrs {
			one, cancel := context.WithTimeout(ctx, time.Second)
			_, err := t.machine.Run(one, "turnutils_stunclient", "-p", "3478", addr)
			cancel()
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Stop kills the server; Start starts a new one, which knows no allocation.
func (t *TURN) Stop(ctx context.Context) error {
	if t.process == nil {
		return errors.New("the TURN server was never started")
	}
	return t.process.Stop(ctx, "KILL")
}

// Freeze stops the server's process: it answers nothing, and nobody is notified. Thaw lets it go on.
func (t *TURN) Freeze(ctx context.Context) error { return t.process.Signal(ctx, "STOP") }

// Thaw ends Freeze.
func (t *TURN) Thaw(ctx context.Context) error { return t.process.Signal(ctx, "CONT") }
