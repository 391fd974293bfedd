//go:build e2e

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"evio/driver/status"
	"evio/integration/scenario"
	"evio/integration/testbed"
)

// counter is one number of the status document.
type counter struct {
	name string
	read func(d status.Document) uint64
}

// ofOverlay is a counter of an overlay, ofSessions the sum over its sessions, ofTransport one of
// the transport, ofSignalling and strangers sums over the accounts.
func ofOverlay(overlay, name string) counter {
	return counter{overlay + ": " + name, func(d status.Document) uint64 { return overlayIn(d, overlay).Drops[name] }}
}

// both is the sum of two.
func both(a, b counter) counter {
	return counter{a.name + " and " + b.name, func(d status.Document) uint64 { return a.read(d) + b.read(d) }}
}

func ofSessions(overlay, name string) counter {
	return counter{"sessions of " + overlay + ": " + name, func(d status.Document) (sum uint64) {
		for _, s := range overlayIn(d, overlay).Sessions {
			sum += s.Drops[name]
		}
		return sum
	}}
}

func ofTransport(name string) counter {
	return counter{"transport: " + name, func(d status.Document) uint64 { return d.Transport.Drops[name] }}
}

func ofSignalling(name string) counter {
	return counter{"signalling: " + name, func(d status.Document) (sum uint64) {
		for _, s := range d.Signalling {
			sum += s.Drops[name]
		}
		return sum
	}}
}

func strangers() counter {
	return counter{"signalling: strangers", func(d status.Document) (sum uint64) {
		for _, s := range d.Signalling {
			sum += s.Strangers
		}
		return sum
	}}
}

// until repeats f until it succeeds and fails the test when the time is over.
func until(t *testing.T, d time.Duration, f func() error) {
	t.Helper()
	if err := scenario.Await(within(t, d), f); err != nil {
		t.Fatal(err)
	}
}

// moves does something and fails the test unless it makes the counter rise by at least that much.
func moves(t *testing.T, s *scenario.Site, c counter, least uint64, do func()) {
	t.Helper()
	before := c.read(document(t, s))
	do()
	var after uint64
	until(t, 10*time.Second, func() error {
		if after = c.read(document(t, s)); after < before+least {
			return fmt.Errorf("%s at %s: %d, %d before: want %d more", c.name, s.Name(), after, before, least)
		}
		return nil
	})
	t.Logf("%s: %s: %d → %d", s.Name(), c.name, before, after)
}

func document(t *testing.T, s *scenario.Site) status.Document {
	t.Helper()
	d, err := s.Status(within(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// overlayIn is the part of one overlay, zero if it is not there.
func overlayIn(d status.Document, overlay string) status.Network {
	for _, n := range d.Networks {
		if n.Overlay == overlay {
			return n
		}
	}
	return status.Network{}
}

func overlayAt(t *testing.T, s *scenario.Site, overlay string) status.Network {
	t.Helper()
	return overlayIn(document(t, s), overlay)
}

// sessionWith is the session of an overlay with an account, or nil.
func sessionWith(t *testing.T, s *scenario.Site, overlay, jid string) *status.Session {
	t.Helper()
	n := overlayAt(t, s, overlay)
	for i := range n.Sessions {
		if n.Sessions[i].JID == jid {
			return &n.Sessions[i]
		}
	}
	return nil
}

// awaitSession waits for an established session with an account.
func awaitSession(t *testing.T, d time.Duration, s *scenario.Site, overlay, jid string) *status.Session {
	t.Helper()
	var session *status.Session
	until(t, d, func() error {
		if session = sessionWith(t, s, overlay, jid); session == nil || session.State != "established" {
			return fmt.Errorf("%s has no session with %s in %s", s.Name(), jid, overlay)
		}
		return nil
	})
	return session
}

// unchanged fails the test if the session with an account is not the same, on the same path.
func unchanged(t *testing.T, s *scenario.Site, overlay, jid string, before *status.Session) {
	t.Helper()
	after := sessionWith(t, s, overlay, jid)
	if after == nil || !after.Established.Equal(before.Established) || after.Path != before.Path || after.Moves != before.Moves {
		t.Errorf("%s: the session with %s was %+v and is %+v", s.Name(), jid, before, after)
	}
}

// inside runs a command in the namespace of an overlay.
func inside(t *testing.T, s *scenario.Site, overlay string, args ...string) string {
	t.Helper()
	out, err := s.InNamespace(within(t, 30*time.Second), overlay, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// ear is what comes to a namespace, as tcpdump writes it.
type ear struct{ file string }

// listen records what comes to the namespace of an overlay from now on.
func listen(t *testing.T, s *scenario.Site, overlay string) *ear {
	t.Helper()
	name := fmt.Sprintf("ear-%s-%d", overlay, time.Now().UnixNano())
	e := &ear{filepath.Join(s.Shared(), name+".pcap")}
	p, err := s.Start(within(t, 20*time.Second), name, "nsenter", "--net=/run/netns/"+overlay,
		"tcpdump", "-i", "eth0", "-n", "-U", "--immediate-mode", "-Q", "in", "-Z", "root", "-s", "0", "-B", "16384",
		"-w", filepath.Join(testbed.SharedDir, name+".pcap"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(context.WithoutCancel(t.Context()), "TERM"); err != nil {
			t.Error(err)
		}
	})
	until(t, 10*time.Second, func() error {
		if info, err := os.Stat(e.file); err != nil || info.Size() == 0 {
			return errors.Join(errors.New("tcpdump has not begun"), err)
		}
		return nil
	})
	return e
}

// heard counts how often a token has come.
func (e *ear) heard(t *testing.T, token string) int {
	t.Helper()
	b, err := os.ReadFile(e.file)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(b, []byte(token))
}

// await waits until the token has come.
func (e *ear) await(t *testing.T, token string) {
	t.Helper()
	until(t, 5*time.Second, func() error {
		if e.heard(t, token) == 0 {
			return fmt.Errorf("%q has not come", token)
		}
		return nil
	})
}

// hand is a program of integration/probe that a test tells what to do.
type hand struct {
	machine *testbed.Machine
	socket  string
	process *testbed.Process
}

// newHand starts a command that takes -control, and waits until it listens.
func newHand(t *testing.T, m *testbed.Machine, name string, args ...string) *hand {
	t.Helper()
	h := &hand{machine: m, socket: "/run/" + name + ".sock"}
	var err error
	if h.process, err = m.Start(within(t, 10*time.Second), name, append(append([]string{"probe"}, args...), "-control", h.socket)...); err != nil {
		t.Fatal(err)
	}
	await(t, 10*time.Second, func(ctx context.Context) error { return h.try(ctx, "GET /seen", nil, nil) })
	return h
}

// stop ends it, also when the test is over.
func (h *hand) stop(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
	defer cancel()
	if err := h.process.Stop(ctx, "TERM"); err != nil {
		t.Fatal(err)
	}
}

// ask does what the route says and decodes the answer.
func (h *hand) ask(t *testing.T, route string, in, out any) {
	t.Helper()
	if err := h.try(within(t, 30*time.Second), route, in, out); err != nil {
		t.Fatal(err)
	}
}

func (h *hand) try(ctx context.Context, route string, in, out any) error {
	err := post(ctx, h.machine.Path(h.socket), route, in, out)
	if err != nil {
		return fmt.Errorf("%s: %s of %s: %w", h.machine.Name(), route, h.socket, err)
	}
	return nil
}

// post does a request, "METHOD /path", on a unix socket.
func post(ctx context.Context, socket, route string, in, out any) error {
	var method, path string
	if _, err := fmt.Sscan(route, &method, &path); err != nil {
		return err
	}
	var body io.Reader = http.NoBody
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://unix"+path, body)
	if err != nil {
		return err
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(response.Body)
	err = errors.Join(err, response.Body.Close())
	if err == nil && response.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %s", response.Status, text)
	}
	if err == nil && out != nil {
		err = json.Unmarshal(text, out)
	}
	return err
}
