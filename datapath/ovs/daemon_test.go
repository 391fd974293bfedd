package ovs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
)

func TestLogLines(t *testing.T) {
	logger, hook := logtest.NewNullLogger()
	level, err := logrus.ParseLevel("trace")
	if err != nil {
		t.Fatal(err)
	}
	logger.SetLevel(level)
	l := &logLines{log: logrus.NewEntry(logger)}
	for _, part := range []string{"INFO|bridge|bri", "dge up\nWARN|netdev|bad|luck\n", "\nplain text\nERR|dpif|on h: Network is down\n", strings.Repeat("x", maxLine+1)} {
		if n, err := fmt.Fprint(l, part); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	var got []string
	for _, e := range hook.AllEntries() {
		got = append(got, fmt.Sprintf("%s %v %.12s", e.Level, e.Data["module"], e.Message))
	}
	want := []string{"trace bridge bridge up", "warning netdev bad|luck", "warning <nil> plain text", "debug dpif on h: Networ", "warning <nil> xxxxxxxxxxxx"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if c := l.complaint(); !strings.HasPrefix(c, "xxx") {
		t.Errorf("complaint %q", c)
	}
}

func TestParseVersion(t *testing.T) {
	for text, want := range map[string]string{
		"ovs-vswitchd (Open vSwitch) 3.1.0\nDPDK 22.11.1\n": "3.1.0",
		"": "unknown",
	} {
		if got := parseVersion(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func nullLog() *logrus.Entry {
	logger, _ := logtest.NewNullLogger()
	return logrus.NewEntry(logger)
}

// TestStartSaysWhatIsMissing starts where there is no Open vSwitch.
func TestStartSaysWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	_, err := Start(t.Context(), Config{HostRunDir: filepath.Join(dir, "none"), RunDir: filepath.Join(dir, "run"), Log: nullLog()})
	if err == nil || !strings.Contains(err.Error(), "ovsdb-tool is not on PATH: install Open vSwitch") {
		t.Error(err)
	}
	for _, name := range []string{"ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "ovs-ofctl", "ovs-appctl"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\necho no luck >&2\nexit 3\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	c := Config{RunDir: filepath.Join(dir, "run"), SchemaFile: filepath.Join(dir, "schema"), Log: nullLog()}
	if _, err := Start(t.Context(), c); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "schema") {
		t.Error(err)
	}
	c.SchemaFile = filepath.Join(dir, "ovsdb-tool")
	if _, err := Start(t.Context(), c); err == nil || !strings.Contains(err.Error(), "ovsdb-tool: exit status 3: no luck") {
		t.Error(err)
	}
	if _, err := Start(t.Context(), Config{}); err == nil {
		t.Error("a start without directories")
	}
}
