package testbed

import (
	"context"
	"errors"
	"time"
)

// Names of the STUN and the TURN server in every machine's hosts file.
const (
	STUNName = "stun.example"
	TURNName = "turn.example"
)

// TURN is the STUN and TURN server (coturn), UDP and TCP port 3478. STUN needs no credentials.
type TURN struct {
	machine *Machine
	process *Process
}

// Address is the server's host:port.
func (*TURN) Address() string { return stunAddr + ":3478" }

// Credentials are the long-term ones of TURN.
func (*TURN) Credentials() (user, password string) { return "evio", "relay-secret" }

// Process is the running server.
func (t *TURN) Process() *Process { return t.process }

func newTURN(ctx context.Context, m *Machine) (*TURN, error) {
	t := &TURN{machine: m}
	return t, t.Start(ctx)
}

// Start starts the server and waits until it answers a binding request.
func (t *TURN) Start(ctx context.Context) error {
	user, password := t.Credentials()
	p, err := t.machine.Start(ctx, "turnserver", "turnserver", "-n",
		"--listening-ip", stunAddr, "--relay-ip", stunAddr, "--listening-port", "3478",
		"--min-port", "50000", "--max-port", "59999",
		"--realm", TURNName, "--lt-cred-mech", "--user", user+":"+password, "--fingerprint",
		"--no-tls", "--no-dtls", "--no-cli", "--no-rfc5780", "--no-multicast-peers",
		"--relay-threads", "1", "--log-file", "stdout", "--simple-log", "--pidfile", "/run/turnserver.pid")
	if err != nil {
		return err
	}
	t.process = p
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return p.await(ctx, func() error {
		one, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := t.machine.Run(one, "turnutils_stunclient", "-p", "3478", stunAddr)
		return err
	})
}

// Stop kills the server; Start starts a new one, which knows no allocation.
func (t *TURN) Stop(ctx context.Context) error {
	if t.process == nil {
		return errors.New("the TURN server was never started")
	}
	return t.process.Stop(ctx, "KILL")
}
