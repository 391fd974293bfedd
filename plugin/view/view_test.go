package view

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"evio/driver/status"
)

var update = flag.Bool("update", false, "rewrite what is expected")

// TestPrint compares each document of testdata with the text beside it.
func TestPrint(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			d, err := status.Decode(text)
			if err != nil {
				t.Fatal(err)
			}
			d.Health = status.Judge(d)
			var out bytes.Buffer
			if err := Print(&out, d); err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(file, ".json") + ".txt"
			if *update {
				if err := os.WriteFile(golden, out.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), out.String()); diff != "" {
				t.Error(diff)
			}
			for line := range strings.Lines(out.String()) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width {
					t.Errorf("%d columns: %s", n, line)
				}
			}
		})
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space") }

func TestPrintTellsThatItFailed(t *testing.T) {
	if err := Print(full{}, status.Document{}); err == nil || err.Error() != "no space" {
		t.Error(err)
	}
}

func TestUnits(t *testing.T) {
	now := time.Date(2026, 11, 21, 1, 2, 3, 0, time.UTC)
	for ago, want := range map[time.Duration]string{
		-time.Minute: "0s", 0: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m01s",
		3*time.Hour + 5*time.Minute: "3h05m", 49 * time.Hour: "2d01h",
	} {
		if got := span(now.Add(-ago), now); got != want {
			t.Errorf("%v: %s, want %s", ago, got, want)
		}
	}
	for n, want := range map[uint64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 999_949: "999.9 kB", 999_950: "1.0 MB", 12_345_678: "12.3 MB", 1<<64 - 1: "18.4 EB",
	} {
		if got := size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	for ms, want := range map[float64]string{0: "-", 0.04: "0.0 ms", 12.345: "12.3 ms"} {
		if got := roundTrip(ms); got != want {
			t.Errorf("%v: %s, want %s", ms, got, want)
		}
	}
	if span(time.Time{}, now) != "-" || moment(time.Time{}) != "-" {
		t.Error("a moment that never was")
	}
}

// FuzzPrint: whatever a document says, a terminal gets lines of text.
func FuzzPrint(f *testing.F) {
	f.Add([]byte(`{"version": "\u001b[2J", "health": {"degraded": [{"part": "\r", "reason": "a\u0007\u202eb"}]}}`))
	f.Add([]byte(`{"networks": [{"id": "x", "running": true, "members": [{"jid": "a\n@b", "node": "1"}], "sessions": [{"node": "1", "path": {"kind": "direct", "remote": "\u001b"}}]}]}`))
	f.Add([]byte(`{"last_errors": [{"text": "a\tb\n", "count": 3}], "transport": {"relays": [{}]}, "signalling": [{"last_error": "\u0000"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := status.Decode(text)
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := Print(&out, d); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsFunc(out.String(), func(r rune) bool { return r != '\n' && !unicode.IsGraphic(r) }) {
			t.Errorf("%q", out.String())
		}
	})
}
