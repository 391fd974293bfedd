package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/sirupsen/logrus/hooks/test"

	"evio/datapath/tap"
	"evio/driver/status"
	"evio/plugin/config"
)

// load reads a configuration file as the plugin does.
func load(t *testing.T, file string) config.Settings {
	t.Helper()
	host := t.TempDir()
	if err := os.MkdirAll(filepath.Join(host, "etc/evio"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(host, "etc/evio/config.json"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	getenv := func(name string) string {
		return map[string]string{"EVIO_HOST_PREFIX": host, "EVIO_UDP_PORT": "0"}[name]
	}
	s, faults := config.Load(getenv)
	if err := faults.Err(); err != nil {
		t.Fatal(err)
	}
	return s
}

// build makes the parts of a process without running them.
func build(t *testing.T, s config.Settings) (*parts, error) {
	t.Helper()
	logger, _ := test.NewNullLogger()
	log := logger.WithField("part", "plugin")
	var p parts
	if err := p.openState(s, log); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.close(); err != nil {
			t.Error(err)
		}
	})
	return &p, p.build(s, time.Now(), log)
}

// TestBuild: every setting arrives where it has an effect.
func TestBuild(t *testing.T) {
	s := load(t, `{
		"signalling": [
			{"jid": "a@example.org", "password_file": "/etc/evio/password", "overlays": {"blue": "group:blue", "*": "room:all@rooms.example.org"}},
			{"jid": "b@example.org", "certificate_file": "/etc/evio/c", "key_file": "/etc/evio/k", "overlays": {"green": "roster"}}
		],
		"turn": [{"uri": "turn:turn.example.org:3478", "username": "evio", "password_file": "/etc/evio/turn"}],
		"secrets": {"blue": "/etc/evio/blue"}, "rekey_seconds": 20
	}`)
	p, err := build(t, s)
	if err != nil {
		t.Fatal(err)
	}
	logger, _ := test.NewNullLogger()
	d := source{driver: p.newDriver(nil, logger.WithField("part", "driver")), parts: *p, settings: s, events: &lastErrors{}, losses: &status.Losses{}}.Status(t.Context())
	var relays []status.Relay
	for _, r := range d.Transport.Relays {
		relays = append(relays, status.Relay{State: r.State, Allocations: r.Allocations})
	}
	if diff := cmp.Diff([]status.Relay{{State: "unused"}}, relays); diff != "" {
		t.Errorf("relays: %s", diff)
	}
	want := []status.Signalling{
		{JID: "a@example.org", Lists: []status.List{{Members: "group:blue"}, {Members: "room:all@rooms.example.org"}}},
		{JID: "b@example.org", Lists: []status.List{{Members: "roster"}}},
	}
	if diff := cmp.Diff(want, d.Signalling, cmpopts.IgnoreFields(status.Signalling{}, "Since", "Drops")); diff != "" {
		t.Errorf("signalling: %s", diff)
	}
	if !p.book.Served("blue") || !p.book.Served("green") || !p.book.Served("other") {
		t.Error("an overlay has no service")
	}
	if list, err := (peers{p.book}).Peers(); err != nil || len(list) != 0 {
		t.Errorf("peers %v, %v", list, err)
	}
}

// TestBuildFaults: what only the parts can see is a fault with its place.
func TestBuildFaults(t *testing.T) {
	for want, change := range map[string]func(*config.Service){
		`signalling service a@example.org: members of overlay "*": `: func(s *config.Service) { s.Overlays["*"] = "room:" },
		"signalling service a@example.org: ca_file ":                 func(s *config.Service) { s.CAFile = "/etc/evio/config.json" },
	} {
		s := load(t, `{"signalling": [{"jid": "a@example.org", "password_file": "/etc/evio/password", "overlays": {"*": "roster"}}]}`)
		change(&s.Signalling[0])
		if _, err := build(t, s); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestOffloads: each one that is switched off is off, and no other.
func TestOffloads(t *testing.T) {
	const switchedOff = "switched off by configuration"
	for _, name := range []string{"udp_send", "udp_receive", "merge", "tap", ""} {
		t.Run("without "+name, func(t *testing.T) {
			file := `{}`
			if name != "" {
				file = `{"offload": {"` + name + `": "off"}}`
			}
			s := load(t, file)
			p, err := build(t, s)
			if err != nil {
				t.Fatal(err)
			}
			if got := tapOffloads(s.Offload); (got == tap.Offloads{Why: switchedOff}) != (name == "tap") || (got == tap.AllOffloads) != (name != "tap") {
				t.Errorf("tap: %+v", got)
			}
			o := transportOffload(p.transport.Stats(), s)
			for which, got := range map[string]status.Offload{"udp_send": o.UDPSend, "udp_receive": o.UDPReceive, "merge": o.Merge} {
				if off := !got.On && got.Reason == switchedOff; off != (which == name) {
					t.Errorf("%s: %+v", which, got)
				}
			}
		})
	}
}
