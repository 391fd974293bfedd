//go:build component

package signal

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
)

// prosody is a real server in a directory of its own, with the accounts alice,
// bob, carol and dave; alice and bob share a roster group.
type prosody struct {
	t    *testing.T
	dir  string
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
}

const prosodyConfig = `
run_as_root = true
pidfile = "%[1]s/prosody.pid"
data_path = "%[1]s/data"
certificates = "%[1]s"
groups_file = "%[1]s/groups.txt"
log = { { levels = { min = "info" }, to = "file", filename = "%[1]s/prosody.log" } }
interfaces = { "127.0.0.1" }
c2s_ports = { 5222 }
c2s_direct_tls_ports = { 5223 }
c2s_require_encryption = true
allow_unencrypted_plain_auth = false
authentication = "internal_hashed"
modules_enabled = { "roster", "saslauth", "tls", "disco", "ping", "groups" }
modules_disabled = { "s2s", "offline" }
ssl = { protocol = "%[2]s" }
VirtualHost "evio.test"
Component "rooms.evio.test" "muc"
`

func newProsody(t *testing.T, protocol string) *prosody {
	t.Helper()
	p := &prosody{t: t, dir: t.TempDir()}
	cert := testCertificates(t).right
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"prosody.cfg.lua": fmt.Appendf(nil, prosodyConfig, p.dir, protocol),
		"groups.txt":      []byte("[evio]\nalice@evio.test=alice\nbob@evio.test=bob\n"),
		"evio.test.crt":   pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}),
		"evio.test.key":   pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
	} {
		if err := os.WriteFile(filepath.Join(p.dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(p.dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"alice", "bob", "carol", "dave"} {
		out, err := exec.CommandContext(t.Context(), "prosodyctl", "--root", "--config", p.config(), "register", user, testDomain, testPassword).CombinedOutput()
		if err != nil {
			t.Fatalf("register %s: %v\n%s", user, err, out)
		}
	}
	p.start()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			log, err := os.ReadFile(filepath.Join(p.dir, "prosody.log"))
			t.Logf("prosody.log: %v\n%s", err, log)
		}
	})
	return p
}

func (p *prosody) config() string { return filepath.Join(p.dir, "prosody.cfg.lua") }

// start returns when both ports answer.
func (p *prosody) start() {
	p.t.Helper()
	p.cmd = exec.Command("prosody", "--root", "-F", "--config", p.config()) //nolint:noctx // kill ends it
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		_ = cmd.Wait() // killed
		close(done)
	}(p.cmd, p.done)
	for _, port := range []string{"5222", "5223"} {
		poll(p.t, "prosody on port "+port, func() bool {
			c, err := (&net.Dialer{}).DialContext(p.t.Context(), "tcp", "127.0.0.1:"+port)
			return err == nil && c.Close() == nil
		})
	}
}

func (p *prosody) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
	<-p.done
}

// poll waits for what a real process does.
func poll(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); <-tick.C {
		if ok() {
			return
		}
	}
	t.Fatalf("not within 30 s: %s", what)
}

// party is one running client and what it has received.
type party struct {
	t      *testing.T
	client *Client
	cancel context.CancelFunc
	ended  chan error

	mu     sync.Mutex
	full   string
	downs  int
	roster []Item
	online map[string]string // extension by full JID
	placed map[string]string // the same, as a room shows it
	rooms  []RoomChange
	heard  []string // messages, "from: payload"
}

func (p *party) Up(full string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.full, p.online, p.placed = full, map[string]string{}, map[string]string{}
}

func (p *party) Down(error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.full, p.downs = "", p.downs+1
}

func (p *party) Roster(items []Item) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.roster = items
}

func (p *party) Presence(from string, available bool, extension []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.online, from)
	if available {
		p.online[from] = string(extension)
	}
}

func (p *party) Room(_ string, c RoomChange) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rooms = append(p.rooms, c)
}

func (p *party) Occupant(_, from string, available bool, extension []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.placed, from)
	if available {
		p.placed[from] = string(extension)
	}
}

func (p *party) Message(from string, payload []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard = append(p.heard, from+": "+string(payload))
}

// read looks at the party's fields.
func read[T any](p *party, field func() T) T {
	p.mu.Lock()
	defer p.mu.Unlock()
	return field()
}

func (p *party) jid() string { return read(p, func() string { return p.full }) }

// sees reports whether other is online with this extension.
func (p *party) sees(other *party, extension string) bool {
	full := other.jid()
	return full != "" && read(p, func() bool { got, ok := p.online[full]; return ok && got == extension })
}

func join(t *testing.T, user, password string, direct bool, rooms ...string) *party {
	t.Helper()
	return joinBy(t, user, password, direct, func(c *Config) { c.Rooms = rooms })
}

// joinBy is join with a changed configuration.
func joinBy(t *testing.T, user, password string, direct bool, change func(*Config)) *party {
	t.Helper()
	p := &party{t: t, ended: make(chan error, 1), online: map[string]string{}}
	logger := logrus.New()
	logger.SetOutput(t.Output())
	server := "127.0.0.1:5222"
	if direct {
		server = "127.0.0.1:5223"
	}
	cfg := Config{
		Server:    server,
		DirectTLS: direct,
		JID:       user + "@" + testDomain,
		Password:  func() (string, error) { return password, nil },
		RootCAs:   testCertificates(t).trusted,
		Extension: []byte("I am " + user),
		Log:       logrus.NewEntry(logger),
	}
	change(&cfg)
	var err error
	if p.client, err = New(cfg, p); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	go func() { p.ended <- p.client.Run(ctx) }()
	t.Cleanup(p.leave)
	return p
}

// leave ends the client; a second time it does nothing.
func (p *party) leave() {
	p.cancel()
	select {
	case err := <-p.ended:
		if !errors.Is(err, context.Canceled) {
			p.t.Errorf("Run: %v", err)
		}
		p.ended <- context.Canceled
	case <-time.After(10 * time.Second):
		p.t.Error("Run did not end")
	}
}

func TestProsody(t *testing.T) {
	server := newProsody(t, "tlsv1_2+")
	alice := join(t, "alice", testPassword, false)
	bob := join(t, "bob", testPassword, true)
	poll(t, "alice and bob see each other", func() bool {
		return alice.sees(bob, "I am bob") && bob.sees(alice, "I am alice")
	})
	for _, p := range []*party{alice, bob} {
		if r := read(p, func() []Item { return p.roster }); len(r) != 1 || r[0].Subscription != "both" || len(r[0].Groups) != 1 || r[0].Groups[0] != "evio" {
			t.Errorf("roster %+v", r)
		}
	}

	t.Run("a changed extension is seen", func(t *testing.T) {
		alice.client.SetExtension([]byte("changed"))
		poll(t, "bob sees the change", func() bool { return bob.sees(alice, "changed") })
		alice.client.SetExtension([]byte("I am alice"))
		poll(t, "bob sees the change back", func() bool { return bob.sees(alice, "I am alice") })
	})

	t.Run("2000 messages each way in order", func(t *testing.T) {
		const n = 2000
		var both sync.WaitGroup
		for _, way := range [][2]*party{{alice, bob}, {bob, alice}} {
			both.Go(func() {
				for i := range n {
					if err := way[0].client.Send(t.Context(), way[1].jid(), fmt.Appendf(nil, "%d", i)); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		both.Wait()
		for _, way := range [][2]*party{{alice, bob}, {bob, alice}} {
			poll(t, "all messages", func() bool { return read(way[1], func() int { return len(way[1].heard) }) >= n })
			from := way[0].jid()
			for i, got := range read(way[1], func() []string { return way[1].heard }) {
				if want := fmt.Sprintf("%s: %d", from, i); got != want {
					t.Fatalf("message %d is %q, want %q", i, got, want)
				}
			}
		}
	})

	t.Run("the largest message", func(t *testing.T) {
		payload := bytes.Repeat([]byte("evio"), MaxPayload/4)
		if err := alice.client.Send(t.Context(), bob.jid(), payload); err != nil {
			t.Fatal(err)
		}
		want := alice.jid() + ": " + string(payload)
		poll(t, "bob has it", func() bool {
			return read(bob, func() bool { return bob.heard[len(bob.heard)-1] == want })
		})
	})

	t.Run("a stranger", func(t *testing.T) {
		carol := join(t, "carol", testPassword, false)
		poll(t, "carol is there", func() bool { return carol.jid() != "" })
		if err := carol.client.Send(t.Context(), "alice@evio.test/evio-00000000", []byte("to nobody")); err != nil {
			t.Fatal(err)
		}
		if err := carol.client.Send(t.Context(), alice.jid(), []byte("let me in")); err != nil {
			t.Fatal(err)
		}
		want := carol.jid() + ": let me in"
		poll(t, "alice hears her under her own address", func() bool {
			return read(alice, func() bool { return alice.heard[len(alice.heard)-1] == want })
		})
		if alice.sees(carol, "I am carol") || len(read(carol, func() map[string]string { return carol.online })) > 0 {
			t.Error("a stranger's presence came through")
		}
		say(t, carol, "<presence type='subscribe' to='alice@evio.test'/>")
		poll(t, "alice refuses the subscription", func() bool {
			return alice.client.Status().Ignored[ignoredSubscribe] == 1
		})
		if alice.sees(carol, "I am carol") || len(read(carol, func() map[string]string { return carol.online })) > 0 {
			t.Error("a stranger's presence came through")
		}

		// Alice's operator takes carol into the roster; now both may see each other.
		say(t, alice, "<iq type='set' id='add'><query xmlns='jabber:iq:roster'><item jid='carol@evio.test'><group>new</group></item></query></iq>")
		poll(t, "the roster grows", func() bool { return read(alice, func() int { return len(alice.roster) }) == 2 })
		poll(t, "carol, who has asked, sees alice", func() bool { return carol.sees(alice, "I am alice") })
		say(t, alice, "<iq type='set' id='remove'><query xmlns='jabber:iq:roster'><item jid='carol@evio.test' subscription='remove'/></query></iq>")
		poll(t, "the roster shrinks", func() bool { return read(alice, func() int { return len(alice.roster) }) == 1 })
		poll(t, "carol is told that she may no longer see alice", func() bool {
			return read(carol, func() bool { return len(carol.roster) == 1 && carol.roster[0].Subscription == "none" })
		})
	})

	t.Run("a wrong password", func(t *testing.T) {
		thief := join(t, "alice", "wrong", false)
		poll(t, "the refusal", func() bool {
			return strings.Contains(thief.client.Status().LastError, "refused the login of alice@evio.test")
		})
	})

	t.Run("leaving is seen at once", func(t *testing.T) {
		guest := join(t, "bob", testPassword, false)
		poll(t, "alice sees bob's second session", func() bool { return alice.sees(guest, "I am bob") })
		full := guest.jid()
		guest.leave()
		poll(t, "alice sees it gone", func() bool {
			return read(alice, func() bool { _, there := alice.online[full]; return !there })
		})
	})

	t.Run("the server dies and comes back", func(t *testing.T) {
		server.kill()
		poll(t, "both notice", func() bool { return alice.jid() == "" && bob.jid() == "" })
		if err := alice.client.Send(t.Context(), "bob@evio.test/x", nil); !errors.Is(err, ErrNotConnected) {
			t.Errorf("send while down: %v", err)
		}
		server.start()
		poll(t, "both see each other again", func() bool {
			return alice.sees(bob, "I am bob") && bob.sees(alice, "I am alice")
		})
		if n := read(alice, func() int { return alice.downs }); n != 1 {
			t.Errorf("told %d times that the connection is down", n)
		}
	})
}

// say writes what this package never does by itself.
func say(t *testing.T, p *party, xml string) {
	t.Helper()
	p.client.mu.Lock()
	s := p.client.session
	p.client.mu.Unlock()
	if err := s.send(t.Context(), []byte(xml)); err != nil {
		t.Fatal(err)
	}
}

// TestProsodyTLS12 offers -PLUS mechanisms with a binding (tls-unique) that we do
// not have: the plain ones must still work.
func TestProsodyTLS12(t *testing.T) {
	newProsody(t, "tlsv1_2")
	for _, direct := range []bool{false, true} {
		p := join(t, "alice", testPassword, direct)
		poll(t, "the login", func() bool { return p.jid() != "" })
	}
}
