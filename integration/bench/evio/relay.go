package evio

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"evio/integration/bench/lab"
	"evio/plugin/config"
)

const (
	turnUser     = "bench"
	turnPassword = "relay"
)

// relayAddr is the relay's, and machine i of a pair reaches it by the network 198.18.(i+1).0/24.
var relayAddr = netip.MustParseAddr("198.18.9.1")

// addRelay puts a machine between those of a pair in place of their cable. It forwards no packets.
func addRelay(ctx context.Context, p *lab.Pair) (*lab.Machine, error) {
	fail := func(err error) (*lab.Machine, error) { return nil, fmt.Errorf("relay: %w", err) }
	name := filepath.Base(p.Dir) + "-relay"
	n, err := lab.NewNamespace(ctx, name, p.Dir)
	if err != nil {
		return fail(err)
	}
	script := fmt.Sprintf(`ip address add %s/32 dev lo
for i in 1 2; do ip address add 198.18.$i.1/24 dev eth$i; ip link set eth$i up; done`, relayAddr)
	for i, m := range []*lab.Machine{p.A, p.B} {
		far := fmt.Sprintf(`ip link delete eth0 2>/dev/null || :
ip link add eth1 mtu %[1]d type veth peer name eth%[2]d mtu %[1]d netns %[3]s
ip address add 198.18.%[2]d.2/24 dev eth1
ip link set eth1 up
ip route add %[4]s via 198.18.%[2]d.1`, lab.UnderlayMTU, i+1, name, relayAddr)
		if _, err := m.Run(ctx, "sh", "-euc", far); err != nil {
			return fail(err)
		}
	}
	if _, err := n.Run(ctx, "sh", "-euc", script); err != nil {
		return fail(err)
	}
	return &lab.Machine{Namespace: n, Addr: relayAddr}, nil
}

// startTURN starts a coturn at a machine and returns what has an engine use it, by UDP.
func startTURN(ctx context.Context, at *lab.Machine, dir string) (func(*config.File), error) {
	password := filepath.Join(dir, "turn-password")
	if err := os.WriteFile(password, []byte(turnPassword+"\n"), 0o600); err != nil {
		return nil, err
	}
	p, err := at.Start(ctx, "coturn", "turnserver", "-n", "--listening-ip", at.Addr.String(), "--relay-ip", at.Addr.String(),
		"--listening-port", "3478", "--realm", "bench", "--fingerprint", "--no-cli", "--no-tls", "--no-dtls", "--no-rfc5780",
		"--lt-cred-mech", "--user", turnUser+":"+turnPassword, "--log-file", "stdout", "--simple-log",
		"--userdb", filepath.Join(dir, "turn.db"), "--pidfile", filepath.Join(dir, "turn.pid"))
	if err != nil {
		return nil, err
	}
	err = p.Await(ctx, func() error {
		_, err := at.Run(ctx, "timeout", "1", "turnutils_stunclient", "-p", "3478", at.Addr.String())
		return err
	})
	if err != nil {
		return nil, err
	}
	return func(f *config.File) {
		f.TURN = []config.TURN{{URI: fmt.Sprintf("turn:%s:3478?transport=udp", at.Addr), Username: turnUser, PasswordFile: password}}
	}, nil
}
