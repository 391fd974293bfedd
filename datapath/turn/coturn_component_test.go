//go:build component

package turn

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"evio/datapath/udp"
)

// coturn is the real server on an address of this machine that is not loopback.
type coturn struct {
	t       *testing.T
	relays  []string // addresses that it relays from
	options []string
	log     string
	stopped func()
}

const (
	coturnAddress = "198.51.100.1"
	coturnIPv6    = "2001:db8::1"
)

// newCoturn gives the machine the server's address and starts it.
func newCoturn(t *testing.T, options ...string) *coturn {
	t.Helper()
	run(t, "ip", "link", "add", "relay", "type", "veth", "peer", "name", "other")
	t.Cleanup(func() { run(t, "ip", "link", "del", "relay") })
	run(t, "ip", "addr", "add", coturnAddress+"/24", "dev", "relay")
	run(t, "ip", "addr", "add", coturnIPv6+"/64", "dev", "relay", "nodad")
	run(t, "ip", "link", "set", "other", "up")
	run(t, "ip", "link", "set", "relay", "up")
	c := &coturn{t: t, relays: []string{coturnAddress, coturnIPv6}, options: options, log: filepath.Join(t.TempDir(), "log")}
	c.start()
	t.Cleanup(func() { c.stopped() })
	return c
}

func run(t *testing.T, argv ...string) {
	t.Helper()
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
}

// start starts the server, with an empty log, and waits until it listens.
func (c *coturn) start() {
	c.t.Helper()
	file, err := os.Create(c.log)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	argv := []string{"-n", "--no-cli", "--no-dtls", "-v", "--simple-log",
		"--listening-ip", coturnAddress, "--listening-ip", coturnIPv6,
		"--realm", "example", "--fingerprint", "--no-rfc5780",
		"--log-file", "stdout", "--pidfile", filepath.Join(c.t.TempDir(), "pid")}
	for _, ip := range c.relays {
		argv = append(argv, "--relay-ip", ip)
	}
	cmd := exec.CommandContext(ctx, "turnserver", append(argv, c.options...)...)
	cmd.Stdout, cmd.Stderr = file, file
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.stopped = func() {
		cancel()
		_ = cmd.Wait() // killed by us
		_ = file.Close()
		c.stopped = func() {}
	}
	until(c.t, "coturn listens", func() bool {
		text := c.text()
		return strings.Contains(text, "IPv4. UDP listener opened") && strings.Contains(text, "IPv6. UDP listener opened")
	})
	until(c.t, "coturn takes connections", func() bool {
		return exec.Command("turnutils_stunclient", "-p", "3478", coturnAddress).Run() == nil
	})
}

func (c *coturn) text() string {
	text, err := os.ReadFile(c.log)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text)
}

// allocations finds the beginning and the end of allocations in the log.
var allocations = regexp.MustCompile(`session (\d+): (new|refreshed|delete:|closed).*?(lifetime=0)?\n`)

// left returns the sessions that the log knows no end of.
func (c *coturn) left() map[string]bool {
	left := map[string]bool{}
	for _, m := range allocations.FindAllStringSubmatch(c.text(), -1) {
		switch {
		case m[2] == "new":
			left[m[1]] = true
		case m[2] != "refreshed", m[3] != "":
			delete(left, m[1])
		}
	}
	return left
}

// certificate writes what coturn needs for TLS.
func certificate(t *testing.T) (options []string) {
	t.Helper()
	_, chain := authority()
	key, err := x509.MarshalPKCS8PrivateKey(chain.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, block := range map[string]*pem.Block{
		"certificate": {Type: "CERTIFICATE", Bytes: chain.Certificate[0]},
		"key":         {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return []string{"--cert", filepath.Join(dir, "certificate"), "--pkey", filepath.Join(dir, "key"), "--tls-listening-port", "5349"}
}

var longTerm = []string{"--lt-cred-mech", "--user", "evio:right"}

func TestCoturnRelays(t *testing.T) {
	for _, mechanism := range []struct {
		name     string
		options  []string
		password func(*Server)
		reason   string
	}{
		{"lt-cred-mech", longTerm, func(s *Server) { s.Username, s.Password = "evio", text("right") }, "wrong username or password"},
		{"use-auth-secret", []string{"--use-auth-secret", "--static-auth-secret", "shared"}, func(s *Server) { s.Username, s.Secret = "evio", text("shared") }, "wrong secret"},
	} {
		t.Run(mechanism.name, func(t *testing.T) {
			server := newCoturn(t, append(certificate(t), mechanism.options...)...)
			for _, uri := range []string{
				"turn:" + coturnAddress, "turn:" + coturnAddress + "?transport=tcp", "turns:localhost", "turn:[2001:db8::1]",
			} {
				s := Server{URI: uri}
				mechanism.password(&s)
				if strings.HasPrefix(uri, "turns:") {
					s.RootCAs = trusted
				}
				t.Run(uri, func(t *testing.T) { relay(t, s) })
			}
			t.Run("wrong", func(t *testing.T) {
				s := Server{URI: "turn:" + coturnAddress}
				if mechanism.password(&s); s.Password != nil {
					s.Password = text("wrong")
				} else {
					s.Secret = text("wrong")
				}
				c := newClientWith(t, timing{}, s)
				if _, err := c.Acquire(t.Context()); err == nil || !strings.Contains(err.Error(), "it answers 401: "+mechanism.reason) {
					t.Errorf("got %v, want %s", err, mechanism.reason)
				}
			})
			until(t, "no allocation is left", func() bool { return len(server.left()) == 0 })
		})
	}
}

// relay sends both ways between two clients of a server: by indications, then
// by channels, in all sizes.
func relay(t *testing.T, s Server) {
	alice, bob := newClientWith(t, timing{linger: 50 * time.Millisecond}, s), newClientWith(t, timing{}, s)
	for _, c := range []*client{alice, bob} {
		c.config.Resolve = func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr(coturnAddress)}, nil // the name in the certificate is localhost
		}
	}
	a, b := alice.acquire(t), bob.acquire(t)
	if !a.Addr().Addr().Is4() || !b.Addr().Addr().Is4() {
		t.Errorf("relayed addresses %s and %s, want IPv4", a.Addr(), b.Addr())
	}
	if err := b.Permit(t.Context(), a.Addr().Addr()); err != nil {
		t.Fatal(err)
	}
	peers := []netip.Addr{b.Addr().Addr()}
	for i := range 3 * maxPeersPerRequest {
		peers = append(peers, testPeer(i))
	}
	if err := a.Permit(t.Context(), peers...); err != nil { // several in one request
		t.Fatal(err)
	}
	for size := 1; size <= 1452; size += 13 {
		want := string(bytes.Repeat([]byte{byte(size)}, size))
		if err := a.Send(b.Addr(), []byte(want)); err != nil {
			t.Fatal(err)
		}
		if got := bob.await(t); got.data != want || got.from != a.Addr() {
			t.Fatalf("bob got %d bytes from %s, want %d from %s", len(got.data), got.from, size, a.Addr())
		}
		if err := b.Send(a.Addr(), []byte(want)); err != nil {
			t.Fatal(err)
		}
		if got := alice.await(t); got.data != want || got.from != b.Addr() {
			t.Fatalf("alice got %d bytes from %s, want %d from %s", len(got.data), got.from, size, b.Addr())
		}
	}
	a.mu.Lock()
	bound := a.channels[b.Addr()].usable(time.Now())
	a.mu.Unlock()
	if !bound {
		t.Error("no channel")
	}
	// coturn drops what exceeds 32 KiB in front of a client's stream.
	run := udp.Run{Bytes: make([]byte, 24*1200+7), Size: 1200}
	for i := range run.Bytes {
		run.Bytes[i] = byte(i / 1200)
	}
	want := slices.Collect(run.Datagrams())
	if sent, err := a.SendRuns(b.Addr(), []udp.Run{run}); sent != len(want) || err != nil {
		t.Fatalf("%d of %d sent, %v", sent, len(want), err)
	}
	for i := range want {
		if got := bob.await(t); got.data != string(want[i]) || got.from != a.Addr() {
			t.Fatalf("datagram %d of the runs is another", i)
		}
	}
	a.Release()
	awaitDone(t, a)
	if err := bob.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestCoturnThatDies(t *testing.T) {
	server := newCoturn(t, append(certificate(t), longTerm...)...)
	for _, transport := range []string{UDP, TCP} {
		t.Run(transport, func(t *testing.T) {
			c := newClientWith(t, timing{retry: 100 * time.Millisecond}, Server{
				URI: fmt.Sprintf("turn:%s?transport=%s", coturnAddress, transport), Username: "evio", Password: text("right"),
			})
			a := c.acquire(t)
			began := time.Now()
			server.stopped()
			c.Suspect()
			awaitDone(t, a)
			t.Logf("lost after %v: %v", time.Since(began), a.Err())
			a.Release()
			if _, err := c.Acquire(t.Context()); err == nil {
				t.Error("a relayed address of a server that is not there")
			}
			server.start()
			until(t, "the server is used again", func() bool {
				a, err := c.Acquire(t.Context())
				if err == nil {
					a.Release()
				}
				return err == nil
			})
		})
	}
}

// TestCoturnForgets has the server restarted between two requests: it answers,
// and knows nothing.
func TestCoturnForgets(t *testing.T) {
	server := newCoturn(t, append(certificate(t), longTerm...)...)
	c := newClientWith(t, timing{refresh: time.Hour}, Server{URI: "turn:" + coturnAddress, Username: "evio", Password: text("right")})
	a := c.acquire(t)
	defer a.Release()
	server.stopped()
	server.start()
	c.Suspect()
	awaitDone(t, a)
	if !isRefusal(a.Err()) {
		t.Errorf("ended by %v, want a refusal", a.Err())
	}
}

func TestCoturnWithoutIPv4(t *testing.T) {
	server := newCoturn(t, append(certificate(t), longTerm...)...)
	server.stopped()
	server.relays = []string{coturnIPv6}
	server.start()
	c := newClientWith(t, timing{}, Server{URI: "turn:" + coturnAddress, Username: "evio", Password: text("right")})
	a := c.acquire(t)
	defer a.Release()
	if !a.Addr().Addr().Is6() {
		t.Errorf("relayed address %s, want IPv6", a.Addr())
	}
	if err := a.Permit(t.Context(), a.Addr().Addr()); err != nil {
		t.Error(err)
	}
}

func TestCoturnQuota(t *testing.T) {
	server := newCoturn(t, append(certificate(t), append([]string{"--user-quota", "1"}, longTerm...)...)...)
	s := Server{URI: "turn:" + coturnAddress, Username: "evio", Password: text("right")}
	first, second := newClientWith(t, timing{}, s), newClientWith(t, timing{}, s)
	a := first.acquire(t)
	until(t, "one allocation is in the log", func() bool { return len(server.left()) == 1 })
	if _, err := second.Acquire(t.Context()); err == nil || !strings.Contains(err.Error(), "it answers 486: the quota") {
		t.Errorf("got %v, want the quota", err)
	}
	a.Release()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	until(t, "no allocation is left", func() bool { return len(server.left()) == 0 })
}
