package testbed

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
)

// Start is New, AddSites and StartEngines for a test: three lines fewer in each. The lab is closed
// at the test's end, and the ends of its logs are in the test's log if that failed.
func Start(t testing.TB, sites ...SiteConfig) *Lab {
	t.Helper()
	lab := StartSites(t, Options{}, sites...)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := lab.StartEngines(ctx, EngineOptions{}); err != nil {
		t.Fatal(err)
	}
	return lab
}

// StartSites is Start without engines.
func StartSites(t testing.TB, o Options, sites ...SiteConfig) *Lab {
	t.Helper()
	log := logrus.New()
	log.SetOutput(t.Output())
	o.Log = logrus.NewEntry(log)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	lab, err := New(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			lab.dumpLogs(t)
		}
		if err := lab.Close(); err != nil {
			t.Errorf("close the lab: %v", err)
		}
	})
	if err := lab.AddSites(ctx, sites...); err != nil {
		t.Fatal(err)
	}
	return lab
}

// dumpLogs copies the end of each program's log to the test's.
func (l *Lab) dumpLogs(t testing.TB) {
	const lines = 40
	files, err := filepath.Glob(filepath.Join(l.LogDir(), "*.log"))
	if err != nil {
		t.Log(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file) //nolint:gosec // a log of ours
		if err != nil {
			t.Log(err)
			continue
		}
		all := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
		t.Logf("end of %s:\n%s", filepath.Base(file), bytes.Join(all[max(0, len(all)-lines):], []byte("\n")))
	}
}
