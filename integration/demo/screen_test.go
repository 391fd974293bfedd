package main

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
)

func TestCommandLine(t *testing.T) {
	for want, args := range map[string][]string{
		"docker ps":                    {"docker", "ps"},
		"sh -c 'a b'":                  {"sh", "-c", "a b"},
		"docker ps --format '{{.ID}}'": {"docker", "ps", "--format", "{{.ID}}"},
		`echo 'it'\''s' ''`:            {"echo", "it's", ""},
	} {
		if got := commandLine(args); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	(&screen{out: &out}).Table([]string{"pair", "way"}, [][]string{{"a – b", "x"}, {"a", "longer"}})
	want := "    pair    way\n    a – b   x\n    a       longer\n"
	if got := out.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestColourOnlyOnATerminal(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close() //nolint:errcheck // only read from
	s := newScreen(out)
	s.Title("title")
	s.Step("step")
	s.Command("site-a", "docker", "ps")
	s.Good("good")
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if _, err := got.ReadFrom(in); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(got.String(), "\x1b") {
		t.Errorf("escape sequences in %q", got.String())
	}
	if !strings.Contains(got.String(), "    site-a# docker ps\n") {
		t.Errorf("no command in %q", got.String())
	}
	if text := (&screen{colour: true}).look(bold, "x"); text != "\x1b[1mx\x1b[0m" {
		t.Errorf("bold is %q", text)
	}
}

func TestTaskReturnsTheError(t *testing.T) {
	want := errors.New("broken")
	var out bytes.Buffer
	if err := (&screen{out: &out}).Task("trying", func() error { return want }); !errors.Is(err, want) {
		t.Errorf("got %v", err)
	}
}

func TestVisits(t *testing.T) {
	got := visits("visit 1: hello\nvisit 2\nnoise\nvisit 2\n")
	if got["1"] != 1 || got["2"] != 2 || len(got) != 2 {
		t.Errorf("got %v", got)
	}
}
