package testbed

import (
	"context"
	"crypto/x509"
	_ "embed"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// XMPPDomain is the domain of all accounts, and the server's name in every machine's hosts file.
const XMPPDomain = "xmpp.example"

// Group is the name of the shared roster group that SetGroup fills.
const Group = "evio"

var (
	//go:embed prosody.cfg.lua
	prosodyConfig []byte
	//go:embed mod_groups_push.lua
	prosodyModule []byte
)

// XMPP is the XMPP server (Prosody): port 5222 with STARTTLS required, port 5223 with TLS at once,
// a certificate of a private CA, SCRAM-SHA-256.
type XMPP struct {
	machine *Machine
	ca      *authority

	mu      sync.Mutex // one administrative act at a time
	process *Process
}

// Account is a user of the XMPP server.
type Account struct {
	JID      string // bare
	Password string
}

func newXMPP(ctx context.Context, m *Machine) (*XMPP, error) {
	ca, err := newAuthority()
	if err != nil {
		return nil, err
	}
	certificate, key, err := ca.issue(XMPPDomain, net.ParseIP(xmppAddr))
	if err != nil {
		return nil, err
	}
	for _, f := range []struct {
		name string
		data []byte
	}{
		{"/etc/prosody/prosody.cfg.lua", prosodyConfig},
		{"/etc/prosody/groups.txt", []byte("[" + Group + "]\n")},
		{"/etc/prosody/certs/" + XMPPDomain + ".crt", certificate},
		{"/etc/prosody/certs/" + XMPPDomain + ".key", key},
		{"/usr/local/lib/prosody/modules/mod_groups_push.lua", prosodyModule},
	} {
		if err := m.WriteFile(ctx, f.name, f.data, 0o600); err != nil {
			return nil, err
		}
	}
	x := &XMPP{machine: m, ca: ca}
	return x, x.Start(ctx)
}

// StartTLSAddress is the host:port with STARTTLS, DirectTLSAddress the one with TLS at once. The
// host is the domain, which the hosts file of every machine knows.
func (*XMPP) StartTLSAddress() string { return XMPPDomain + ":5222" }

// DirectTLSAddress is described at StartTLSAddress.
func (*XMPP) DirectTLSAddress() string { return XMPPDomain + ":5223" }

// CA is the certificate, as PEM, of the authority that signed the server's.
func (x *XMPP) CA() []byte { return slices.Clone(x.ca.pem) }

// Roots is CA as a pool.
func (x *XMPP) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(x.ca.certificate)
	return pool
}

// Start starts the server and waits until both ports answer. Accounts and group are as they were.
func (x *XMPP) Start(ctx context.Context) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	p, err := x.machine.Start(ctx, "prosody", "prosody", "-F")
	if err != nil {
		return err
	}
	x.process = p
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return p.await(ctx, func() error {
		_, err := x.machine.Script(ctx, "probe tcp-check "+xmppAddr+":5222; probe tcp-check "+xmppAddr+":5223; test -S /run/prosody.sock")
		return err
	})
}

// Stop kills the server: clients see their connections reset, and new ones refused.
func (x *XMPP) Stop(ctx context.Context) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.process.Stop(ctx, "KILL")
}

// Freeze stops the server's process with its connections open: it answers nothing, and nobody is
// told. Thaw lets it go on.
func (x *XMPP) Freeze(ctx context.Context) error { return x.process.Signal(ctx, "STOP") }

// Thaw ends Freeze.
func (x *XMPP) Thaw(ctx context.Context) error { return x.process.Signal(ctx, "CONT") }

const dropXMPP = "INPUT -d " + xmppAddr + " -p tcp -j DROP"

// Blackhole makes all packets to the server vanish, Restore lets them pass again.
func (x *XMPP) Blackhole(ctx context.Context) error {
	_, err := x.machine.Script(ctx, "iptables -I "+dropXMPP)
	return err
}

// Restore ends Blackhole.
func (x *XMPP) Restore(ctx context.Context) error {
	_, err := x.machine.Script(ctx, "iptables -D "+dropXMPP)
	return err
}

// AddAccount makes an account, or gives an existing one a new password. It sees nobody, and nobody
// sees it, until SetGroup names it.
func (x *XMPP) AddAccount(ctx context.Context, user, password string) (Account, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, err := x.machine.Run(ctx, "prosodyctl", "register", user, XMPPDomain, password); err != nil {
		return Account{}, fmt.Errorf("account %s: %w", user, err)
	}
	return Account{JID: user + "@" + XMPPDomain, Password: password}, nil
}

// DeleteAccount removes an account; its connections are closed.
func (x *XMPP) DeleteAccount(ctx context.Context, a Account) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, err := x.machine.Run(ctx, "prosodyctl", "shell", "user", "delete", a.JID); err != nil {
		return fmt.Errorf("delete account %s: %w", a.JID, err)
	}
	return nil
}

// SetGroup makes exactly these accounts see each other in their rosters (subscription both, group
// Group), also those that are connected: they get roster pushes and presence.
func (x *XMPP) SetGroup(ctx context.Context, members ...Account) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	var file strings.Builder
	file.WriteString("[" + Group + "]\n")
	for _, a := range members {
		file.WriteString(a.JID + "\n")
	}
	if err := x.machine.WriteFile(ctx, "/etc/prosody/groups.txt", []byte(file.String()), 0o600); err != nil {
		return err
	}
	for _, module := range []string{"groups", "groups_push"} {
		if _, err := x.machine.Run(ctx, "prosodyctl", "shell", "module", "reload", module, XMPPDomain); err != nil {
			return fmt.Errorf("set group: %w", err)
		}
	}
	return nil
}
