package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus/hooks/test"

	"evio/driver/status"
	"evio/plugin/config"
)

// TestMerge: what runs keeps the name, the fault and the lost containers that the driver
// knows; what does not run is shown as it is stored.
func TestMerge(t *testing.T) {
	attached := status.Endpoint{ID: "a", State: status.EndpointAttached, Interface: "evh1"}
	lost := status.Endpoint{ID: "b", State: status.EndpointDetached, Interface: "evh2"}
	got := merge([]status.Network{
		{ID: "1", Name: "blue", Fault: "one", Endpoints: []status.Endpoint{
			{ID: "a", State: status.EndpointDetached}, lost, {ID: "c", State: status.EndpointChanging}, {ID: "d", State: status.EndpointCreated},
		}},
		{ID: "2", Name: "green"},
	}, []status.Network{{ID: "1", Running: true, Fault: "two", Endpoints: []status.Endpoint{attached}}})
	want := []status.Network{
		{ID: "1", Name: "blue", Running: true, Fault: "one; two", Endpoints: []status.Endpoint{attached, lost}},
		{ID: "2", Name: "green"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestFaultsHaveParts: what keeps a plugin from working is the fault of one part, and told once.
func TestFaultsHaveParts(t *testing.T) {
	for part, change := range map[string]func(*config.Settings) config.Faults{
		status.PartSettings: func(*config.Settings) config.Faults {
			return config.Faults{{Path: "stun", Text: "it is wrong"}, {Path: "turn", Text: "it is wrong too"}}
		},
		status.PartState: func(s *config.Settings) config.Faults {
			s.StateDir = "/etc/evio/config.json/state" // below a file
			return nil
		},
		status.PartTransport: func(s *config.Settings) config.Faults {
			s.UDPPort = -1
			return nil
		},
	} {
		s := load(t, `{}`)
		settings := change(&s)
		logger, _ := test.NewNullLogger()
		log := logger.WithField("part", "plugin")
		p, fault := assemble(s, startFaults{settings: settings}, time.Now(), log)
		t.Cleanup(func() {
			if err := p.close(); err != nil {
				t.Error(err)
			}
		})
		d := source{driver: p.newDriver(fault, log), parts: p, settings: s, events: &lastErrors{}, losses: &status.Losses{}}.Status(t.Context())
		d.Docker.Error = "" // nobody serves it here
		var degraded []string
		for _, g := range status.Judge(d).Degraded {
			degraded = append(degraded, g.Part)
		}
		want := []string{part}
		if n := len(settings); n > 1 {
			want = append(want, part)
		}
		if diff := cmp.Diff(want, degraded); diff != "" {
			t.Errorf("%s: %s", part, diff)
		}
	}
}

// TestDockerIsAsked: the document says why the engine's API does not answer.
func TestDockerIsAsked(t *testing.T) {
	s := load(t, `{}`)
	p, err := build(t, s)
	if err != nil {
		t.Fatal(err)
	}
	logger, _ := test.NewNullLogger()
	d := source{driver: p.newDriver(nil, logger.WithField("part", "driver")), parts: *p, settings: s, events: &lastErrors{}, losses: &status.Losses{}}.Status(t.Context())
	if d.Docker.Socket != "/run/docker.sock" || !strings.Contains(d.Docker.Error, filepath.Join(s.HostPrefix, "run/docker.sock")) {
		t.Errorf("%+v", d.Docker)
	}
}
