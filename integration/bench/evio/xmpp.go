package evio

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"evio/integration/bench/lab"
)

const (
	xmppDomain   = "bench.example"
	xmppPassword = "bench"
)

// xmppServer is a Prosody at one machine.
type xmppServer struct {
	at      *lab.Namespace
	addr    netip.Addr
	dir     string
	process *lab.Process
}

const prosodyConfig = `
run_as_root = true
pidfile = "%[1]s/prosody.pid"
data_path = "%[1]s/data"
certificates = "%[1]s"
groups_file = "%[1]s/groups.txt"
log = { { levels = { min = "info" }, to = "console" } }
interfaces = { "%[2]s" }
c2s_ports = { 5222 }
c2s_require_encryption = true
allow_unencrypted_plain_auth = false
authentication = "internal_hashed"
password_hash = "SHA-256"
modules_enabled = { "roster", "saslauth", "tls", "disco", "ping", "groups" }
modules_disabled = { "s2s", "offline" }
VirtualHost "` + xmppDomain + `"
`

// startXMPP makes the accounts of all groups and starts the server on an address of the machine.
// The accounts of a group see each other.
func startXMPP(ctx context.Context, at *lab.Namespace, addr netip.Addr, dir string, groups ...[]string) (*xmppServer, error) {
	x := &xmppServer{at: at, addr: addr, dir: filepath.Join(dir, "xmpp")}
	fail := func(err error) (*xmppServer, error) { return nil, fmt.Errorf("XMPP server: %w", err) }
	if err := os.MkdirAll(filepath.Join(x.dir, "data"), 0o700); err != nil {
		return fail(err)
	}
	certificate, key, err := selfSigned()
	if err != nil {
		return fail(err)
	}
	var roster strings.Builder
	accounts := map[string]bool{}
	for i, g := range groups {
		fmt.Fprintf(&roster, "[group%d]\n", i)
		for _, user := range g {
			accounts[user] = true
			roster.WriteString(user + "@" + xmppDomain + "\n")
		}
	}
	for name, data := range map[string][]byte{
		"prosody.cfg.lua":   fmt.Appendf(nil, prosodyConfig, x.dir, addr),
		"groups.txt":        []byte(roster.String()),
		xmppDomain + ".crt": certificate,
		xmppDomain + ".key": key,
	} {
		if err := os.WriteFile(filepath.Join(x.dir, name), data, 0o600); err != nil {
			return fail(err)
		}
	}
	for user := range accounts {
		if _, err := at.Run(ctx, "prosodyctl", "--root", "--config", x.config(), "register", user, xmppDomain, xmppPassword); err != nil {
			return fail(err)
		}
	}
	if x.process, err = at.Start(ctx, "prosody", "prosody", "--root", "-F", "--config", x.config()); err != nil {
		return fail(err)
	}
	err = x.process.Await(ctx, func() error {
		_, err := at.Run(ctx, "bash", "-c", "</dev/tcp/"+addr.String()+"/5222")
		return err
	})
	if err != nil {
		return fail(err)
	}
	return x, nil
}

func (x *xmppServer) config() string  { return filepath.Join(x.dir, "prosody.cfg.lua") }
func (x *xmppServer) caFile() string  { return filepath.Join(x.dir, xmppDomain+".crt") }
func (x *xmppServer) address() string { return netip.AddrPortFrom(x.addr, 5222).String() }

// selfSigned makes a server's certificate that is its own authority, and its key, as PEM.
func selfSigned() (certificate, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{xmppDomain},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return nil, nil, err
	}
	bytes, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: bytes}), nil
}
