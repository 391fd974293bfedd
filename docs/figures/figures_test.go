package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"testing"
)

// TestFiguresAreDrawn compares the figures in the tree with the program.
func TestFiguresAreDrawn(t *testing.T) {
	figures, err := figures()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range figures {
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the program draws: run go run ./docs/figures", name)
		}
		for dec := xml.NewDecoder(bytes.NewReader(got)); ; {
			if _, err := dec.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s is no XML: %v", name, err)
			}
		}
	}
}

func TestGridThatIsNone(t *testing.T) {
	for _, result := range []string{"", `[{"a": "one", "b": "two", "way": "udp"}]`, `[{"a": "one", "b": "one", "way": "pigeon"}]`} {
		if _, err := natGrid([]byte(result)); err == nil {
			t.Errorf("a grid is drawn of %q", result)
		}
	}
}
