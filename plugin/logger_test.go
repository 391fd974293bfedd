package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"evio/plugin/config"
)

func TestLoggerText(t *testing.T) {
	var out bytes.Buffer
	log, err := newLogger(&out, config.Log{Level: "info", Format: "text"})
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("hidden")
	log.WithField("network", "n1").Info("two\nlines")
	got := out.String()
	if strings.Count(got, "\n") != 1 || !strings.HasSuffix(got, `level=info msg="two\nlines" network=n1`+"\n") || strings.Contains(got, "\x1b") {
		t.Errorf("got %q", got)
	}
}

func TestLoggerJSON(t *testing.T) {
	var out bytes.Buffer
	log, err := newLogger(&out, config.Log{Level: "debug", Format: "json"})
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("seen")
	var event map[string]string
	if err := json.Unmarshal(out.Bytes(), &event); err != nil {
		t.Fatal(err)
	}
	if event["msg"] != "seen" || event["level"] != "debug" {
		t.Errorf("got %v", event)
	}
}

func TestLoggerUnknownLevel(t *testing.T) {
	if _, err := newLogger(&bytes.Buffer{}, config.Log{Level: "loud"}); err == nil {
		t.Error("accepted")
	}
}

func TestReport(t *testing.T) {
	for _, c := range []struct {
		name     string
		settings config.Settings
		faults   config.Faults
		want     []string
	}{
		{"missing", config.Settings{Missing: true, ConfigPath: "/etc/evio/config.json"}, nil, []string{"no configuration file /etc/evio/config.json: networks are of this engine only; to reach other sites, name a signalling service there"}},
		{"empty", config.Settings{ConfigPath: "/c"}, nil, []string{"no signalling service in /c: networks are of this engine only"}},
		{"full", config.Settings{File: config.File{Signalling: []config.Service{{}}}}, nil, nil},
		{"broken", config.Settings{Missing: true}, config.Faults{{Path: "a", Text: "b"}, {Path: "c", Text: "d"}}, []string{"a: b", "c: d"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			log, err := newLogger(&out, config.Log{Level: "info", Format: "text"})
			if err != nil {
				t.Fatal(err)
			}
			report(log, c.settings, c.faults)
			if got := strings.Count(out.String(), "\n"); got != len(c.want) {
				t.Fatalf("%d lines, want %d:\n%s", got, len(c.want), &out)
			}
			for _, w := range c.want {
				if !strings.Contains(out.String(), w) {
					t.Errorf("%q is not in\n%s", w, &out)
				}
			}
		})
	}
}
