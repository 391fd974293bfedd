package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"evio/driver/status"
)

// TestStatusCommand: what is printed, and the exit code, follow from the document.
func TestStatusCommand(t *testing.T) {
	began := time.Date(2026, 11, 21, 1, 2, 3, 0, time.UTC)
	for _, c := range []struct {
		name     string
		document status.Document
		code     int
		begin    string
	}{
		{
			"healthy", status.Document{Version: "v1", Started: began, Time: began.Add(time.Hour)}, 0,
			"evio v1 since 2026-11-21T01:02:03Z, 1h00m\nhealthy\n  note: no signalling service is configured: networks are of this engine only; to reach other sites,\n        name one in the configuration file\n",
		},
		{
			"degraded", status.Document{Version: "v1", Started: began, Switch: status.Switch{Error: "no tun: load the module"}}, 3,
			"evio v1 since 2026-11-21T01:02:03Z, 0s\ndegraded: switch\n  switch: no tun: load the module\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			getenv := servePinned(t, &pinned{document: c.document})
			var out bytes.Buffer
			if code := exitCode(run(t.Context(), []string{"status"}, getenv, &out)); code != c.code || !strings.HasPrefix(out.String(), c.begin) {
				t.Errorf("exit code %d, printed %s", code, &out)
			}
			out.Reset()
			if code := exitCode(run(t.Context(), []string{"status", "--json"}, getenv, &out)); code != c.code {
				t.Errorf("exit code %d with --json", code)
			}
			got, err := status.Decode(out.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			want, err := status.Fetch(t.Context(), getenv("EVIO_HOST_PREFIX")+"/run/evio-2/evio.sock")
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Error(err, diff)
			}
		})
	}
}

// TestStatusNotAsked: when the process cannot be asked, the error says what to do, and nothing is printed.
func TestStatusNotAsked(t *testing.T) {
	host := t.TempDir()
	getenv := func(name string) string { return map[string]string{"EVIO_HOST_PREFIX": host}[name] }
	for _, args := range [][]string{{"status"}, {"status", "--json"}} {
		var out bytes.Buffer
		err := run(t.Context(), args, getenv, &out)
		if code := exitCode(err); code != 1 || out.Len() != 0 ||
			!strings.HasSuffix(err.Error(), "run this as root, and check that the plugin is enabled (docker plugin ls); if its run_dir is not /run/evio, set EVIO_RUN_DIR to it") {
			t.Errorf("exit code %d, %v, printed %q", code, err, &out)
		}
	}
	if code := exitCode(run(t.Context(), []string{"status", "blue"}, getenv, &bytes.Buffer{})); code != 2 {
		t.Errorf("exit code %d for a wrong argument", code)
	}
}
