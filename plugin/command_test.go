package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus/hooks/test"

	"evio/driver/socket"
	"evio/driver/status"
)

func TestVersion(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"version"}, nil, &out); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.HasPrefix(got, "evio ") || !strings.Contains(got, " go1.") || strings.Count(got, "\n") != 1 {
		t.Errorf("got %q", got)
	}
}

func TestHelp(t *testing.T) {
	for _, command := range []string{"", "help", "-h", "--help", "status --help", "status -h", "peers --help", "peers -h"} {
		var out bytes.Buffer
		if err := run(t.Context(), strings.Fields(command), nil, &out); err != nil || !strings.Contains(out.String(), "evio peers accept ACCOUNT") || !strings.Contains(out.String(), "Exit codes:") {
			t.Errorf("%s: %v, printed %q", command, err, &out)
		}
	}
}

func TestUsage(t *testing.T) {
	none := func(string) string { return "" }
	for command, want := range map[string]string{
		"serve":                `there is no command "serve": see evio help`,
		"stauts":               `there is no command "stauts": did you mean status? see evio help`,
		"peer list":            `there is no command "peer": did you mean peers? see evio help`,
		"--version":            `there is no command "--version": did you mean version? see evio help`,
		"run":                  `there is no command "run": see evio help`,
		"status --jsn":         "did you mean --json? write evio status or evio status --json",
		"status -json":         "did you mean --json? write evio status",
		"peers lst":            "did you mean list? write evio peers list, evio peers accept",
		"peers acept a@b":      "did you mean accept? write evio peers list",
		"peers accept a@b":     "write which identity is accepted: let its operator read out to you, not through this XMPP server, the identity that evio status prints there, and run: evio peers accept a@b IDENTITY",
		"peers forgte a@b":     "did you mean forget? write evio peers list",
		"peers remove a@b":     "write evio peers list",
		"plugin x":             "plugin takes no arguments: see evio help",
		"version x":            "version takes no arguments: see evio help",
		"status --yaml":        "write evio status or evio status --json",
		"status --json blue":   "write evio status",
		"peers":                "write evio peers list, evio peers accept ACCOUNT IDENTITY or evio peers forget ACCOUNT",
		"peers accept":         "write evio peers list",
		"peers accept a@b c d": "write evio peers list",
		"peers list x":         "write evio peers list",
		"peers forget a@b c@d": "write evio peers list",
	} {
		var out bytes.Buffer
		err := run(t.Context(), strings.Fields(command), none, &out)
		if _, ok := errors.AsType[usageError](err); !ok || !strings.HasPrefix(err.Error(), want) || out.Len() != 0 {
			t.Errorf("%s: %v, printed %q", command, err, &out)
		}
	}
}

const accepted = "0123456789abcdef0123456789abcdef"

// pinned stands for the book of a running plugin.
type pinned struct {
	list     []status.Peer
	document status.Document
	asked    []string
}

func (p *pinned) Peers() ([]status.Peer, error) { return p.list, nil }

func (p *pinned) Accept(jid, identity string) error {
	p.asked = append(p.asked, "accept "+jid+" "+identity)
	return nil
}

func (p *pinned) Forget(string) error { return errors.New("no identity is pinned for it") }

func (p *pinned) Status(context.Context) status.Document { return p.document }

// servePinned answers on the socket that commands find by the environment.
func servePinned(t *testing.T, p *pinned) (getenv func(string) string) {
	t.Helper()
	host, err := os.MkdirTemp("", "evio") //nolint:usetesting // t.TempDir holds the test's name and may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(host) })
	logger, _ := test.NewNullLogger()
	server := status.NewServer(p, p, logger.WithField("part", "status"))
	l, err := socket.Listen(filepath.Join(host, "run/evio-2/evio.sock"))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		if err := errors.Join(server.Close(context.Background()), <-served); err != nil {
			t.Error(err)
		}
	})
	return func(name string) string {
		return map[string]string{"EVIO_HOST_PREFIX": host, "EVIO_RUN_DIR": "/run/evio-2"}[name]
	}
}

func TestPeersCommand(t *testing.T) {
	seen := time.Date(2026, 11, 21, 1, 2, 3, 0, time.UTC)
	p := &pinned{list: []status.Peer{
		{JID: "a@example.org", Identity: "00ff", Since: seen},
		{JID: "site-b@example.org", Identity: "01", Since: seen, Offered: "02", OfferedSince: seen.Add(time.Hour)},
		{JID: "site-c@example.org", Offered: "03", OfferedSince: seen},
	}}
	getenv := servePinned(t, p)
	var out bytes.Buffer
	if err := run(t.Context(), []string{"peers", "list"}, getenv, &out); err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"ACCOUNT             IDENTITY  SINCE                 REFUSED IDENTITY  SHOWN",
		"a@example.org       00ff      2026-11-21T01:02:03Z  -                 -",
		"site-b@example.org  01        2026-11-21T01:02:03Z  02                2026-11-21T02:02:03Z",
		"site-c@example.org  damaged   -                     03                2026-11-21T01:02:03Z",
		"",
	}, "\n")
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	out.Reset()
	if err := run(t.Context(), []string{"peers", "accept", "site-b@example.org", accepted}, getenv, &out); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != "identity "+accepted+" of site-b@example.org is accepted\n" {
		t.Errorf("printed %q", got)
	}
	if diff := cmp.Diff([]string{"accept site-b@example.org " + accepted}, p.asked); diff != "" {
		t.Error(diff)
	}
	// An identity that got lost on the way is not "any".
	if err := run(t.Context(), []string{"peers", "accept", "site-b@example.org", ""}, getenv, io.Discard); err == nil || len(p.asked) != 1 {
		t.Errorf("an empty identity: %v, asked %q", err, p.asked)
	}
	err := run(t.Context(), []string{"peers", "forget", "a@example.org"}, getenv, io.Discard)
	if err == nil || err.Error() != "forget a@example.org: no identity is pinned for it" {
		t.Error(err)
	}
}

// TestPeersWithoutPlugin: what cannot be asked says what to do.
func TestPeersWithoutPlugin(t *testing.T) {
	host := t.TempDir()
	getenv := func(name string) string { return map[string]string{"EVIO_HOST_PREFIX": host}[name] }
	err := run(t.Context(), []string{"peers", "list"}, getenv, io.Discard)
	if err == nil || !strings.HasPrefix(err.Error(), "list peers: dial unix "+host+"/run/evio/evio.sock: ") ||
		!strings.HasSuffix(err.Error(), "run this as root, and check that the plugin is enabled (docker plugin ls); if its run_dir is not /run/evio, set EVIO_RUN_DIR to it") {
		t.Error(err)
	}
}

// TestPeersWithFault: a plugin without its parts says so.
func TestPeersWithFault(t *testing.T) {
	var p peers
	list, err := p.Peers()
	for _, err := range []error{err, p.Accept("a@b", accepted), p.Forget("a@b")} {
		if !errors.Is(err, errNoPeers) || list != nil {
			t.Error(list, err)
		}
	}
}
