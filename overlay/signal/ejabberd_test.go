//go:build component

package signal

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ejabberd is a real server in a directory of its own, with the accounts alice, bob,
// carol and dave; alice and bob share a roster group. It is controlled through its
// HTTP interface, which is open to this machine.
type ejabberd struct {
	t    *testing.T
	dir  string
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
}

const ejabberdConfig = `
hosts: [evio.test]
loglevel: info
certfiles: ["%[1]s/evio.pem"]
auth_method: internal
auth_password_format: scram
auth_scram_hash: sha256
listen:
  - {port: 5222, ip: "127.0.0.1", module: ejabberd_c2s, starttls_required: true}
  - {port: 5223, ip: "127.0.0.1", module: ejabberd_c2s, tls: true}
  - {port: 5224, ip: "127.0.0.1", module: ejabberd_c2s, tls: true, tls_verify: true, cafile: "%[1]s/ca.pem"}
  - {port: 5280, ip: "127.0.0.1", module: ejabberd_http, request_handlers: {/api: mod_http_api}}
api_permissions:
  "this machine": {from: [mod_http_api], who: [{ip: 127.0.0.0/8}], what: ["*"]}
modules:
  mod_admin_extra: {}
  mod_disco: {}
  mod_muc: {host: rooms.evio.test, min_presence_interval: 0}
  mod_ping: {}
  mod_roster: {}
  mod_shared_roster: {}
`

func newEjabberd(t *testing.T) *ejabberd {
	t.Helper()
	e := &ejabberd{t: t, dir: t.TempDir(), done: make(chan struct{})}
	cert := testCertificates(t).right
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	authority := testCertificates(t).authority
	for name, text := range map[string][]byte{
		"ejabberd.yml": fmt.Appendf(nil, ejabberdConfig, e.dir),
		"ca.pem":       pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.cert.Raw}),
		"evio.pem": append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}),
			pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...),
	} {
		if err := os.WriteFile(filepath.Join(e.dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	libraries, err := filepath.Glob("/usr/lib/*/ejabberd-[0-9]*")
	if err != nil || len(libraries) == 0 {
		t.Fatalf("no ejabberd here: %v", err)
	}
	e.cmd = exec.Command("erl", "-noinput", "-mnesia", "dir", `"`+filepath.Join(e.dir, "data")+`"`, "-s", "ejabberd") //nolint:noctx // kill ends it
	e.cmd.Env = append(os.Environ(), "ERL_LIBS="+filepath.Dir(libraries[0]), "HOME="+e.dir,
		"EJABBERD_CONFIG_PATH="+filepath.Join(e.dir, "ejabberd.yml"), "EJABBERD_LOG_PATH="+filepath.Join(e.dir, "ejabberd.log"))
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := e.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = e.cmd.Wait() // killed
		close(e.done)
	}()
	t.Cleanup(func() {
		if err := e.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Error(err)
		}
		<-e.done
		if t.Failed() {
			log, err := os.ReadFile(filepath.Join(e.dir, "ejabberd.log"))
			t.Logf("ejabberd.log: %v\n%s", err, log)
		}
	})
	poll(t, "ejabberd answers", func() bool { return e.try("status", map[string]any{}) == nil })
	for _, user := range []string{"alice", "bob", "carol", "dave"} {
		e.do("register", map[string]any{"user": user, "host": testDomain, "password": testPassword})
	}
	e.do("srg_create", map[string]any{"group": "evio", "host": testDomain, "label": "evio", "description": "engines", "display": []string{"evio"}})
	for _, user := range []string{"alice", "bob"} {
		e.do("srg_user_add", map[string]any{"user": user, "host": testDomain, "group": "evio", "grouphost": testDomain})
	}
	return e
}

func (e *ejabberd) try(command string, arguments map[string]any) error {
	body, err := json.Marshal(arguments)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(e.t.Context(), 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://127.0.0.1:5280/api/"+command, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, answer)
	}
	return errors.Join(err, response.Body.Close())
}

func (e *ejabberd) do(command string, arguments map[string]any) {
	e.t.Helper()
	if err := e.try(command, arguments); err != nil {
		e.t.Fatalf("%s: %v", command, err)
	}
}

func TestEjabberd(t *testing.T) {
	server := newEjabberd(t)
	alice := join(t, "alice", testPassword, false)
	bob := join(t, "bob", testPassword, true)
	poll(t, "alice and bob see each other", func() bool {
		return alice.sees(bob, "I am bob") && bob.sees(alice, "I am alice")
	})
	for _, p := range []*party{alice, bob} {
		if r := read(p, func() []Item { return p.roster }); len(r) != 1 || r[0].Subscription != "both" || !slices.Equal(r[0].Groups, []string{"evio"}) {
			t.Errorf("roster %+v", r)
		}
	}
	carol := join(t, "carol", testPassword, false)
	poll(t, "carol is there", func() bool { return carol.jid() != "" })
	for _, way := range [][2]*party{{alice, bob}, {bob, alice}, {carol, alice}} {
		payload := bytes.Repeat([]byte("evio"), MaxPayload/4)
		if err := way[0].client.Send(t.Context(), way[1].jid(), payload); err != nil {
			t.Fatal(err)
		}
		want := way[0].jid() + ": " + string(payload)
		poll(t, "the message", func() bool { return read(way[1], func() bool { return slices.Contains(way[1].heard, want) }) })
	}
	alice.client.SetExtension([]byte("changed"))
	poll(t, "bob sees the change", func() bool { return bob.sees(alice, "changed") })

	t.Run("removal from the group", func(t *testing.T) {
		began := time.Now()
		server.do("srg_user_del", map[string]any{"user": "bob", "host": testDomain, "group": "evio", "grouphost": testDomain})
		poll(t, "alice is told", func() bool {
			return read(alice, func() bool {
				return !slices.ContainsFunc(alice.roster, func(i Item) bool { return slices.Contains(i.Groups, "evio") })
			})
		})
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("after %v", took)
		}
	})
	t.Run("a wrong password", func(t *testing.T) {
		thief := join(t, "alice", "wrong", false)
		poll(t, "the refusal", func() bool {
			return strings.Contains(thief.client.Status().LastError, "refused the login of alice@evio.test")
		})
	})
}

func TestEjabberdRoom(t *testing.T) {
	newEjabberd(t)
	checkSiblings(t, join(t, "bob", testPassword, false), join(t, "bob", testPassword, true))
	checkRoom(t, func(user string, rooms ...string) *party { return join(t, user, testPassword, false, rooms...) }, testDomain)
}

// TestEjabberdCertificate logs in without a password.
func TestEjabberdCertificate(t *testing.T) {
	newEjabberd(t)
	own := clientCertificate(t, "alice@evio.test")
	change := func(c *Config) {
		c.Server = "127.0.0.1:5224"
		c.Password = nil
		c.Certificate = func() (*tls.Certificate, error) { return own, nil }
	}
	alice := joinBy(t, "alice", testPassword, true, change)
	poll(t, "the login", func() bool { return alice.jid() != "" })
	mallory := joinBy(t, "bob", testPassword, true, change)
	poll(t, "the refusal of another's certificate", func() bool {
		return strings.Contains(mallory.client.Status().LastError, "refused the login of bob@evio.test")
	})
}

// clientCertificate names an account as RFC 6120, section 13.7.1.4, has it.
func clientCertificate(t *testing.T, jid string) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	value := func(v any) []byte {
		b, err := asn1.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	tagged := func(inner []byte) asn1.RawValue {
		return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: inner}
	}
	address := value(asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagUTF8String, Bytes: []byte(jid)})
	other := append(value(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 8, 5}), value(tagged(address))...) // id-on-xmppAddr
	authority := testCertificates(t).authority
	cert, err := authority.sign(&x509.Certificate{
		SerialNumber:    big.NewInt(3),
		Subject:         pkix.Name{CommonName: "engine"},
		KeyUsage:        x509.KeyUsageDigitalSignature,
		ExtKeyUsage:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: value([]asn1.RawValue{tagged(other)})}},
	}, authority.cert, &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}
