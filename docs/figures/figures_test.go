package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"testing"
)

// TestFiguresAreDrawn compares the figure in the tree with the program.
func TestFiguresAreDrawn(t *testing.T) {
	got, err := os.ReadFile("architecture.svg")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, architecture()) {
		t.Error("architecture.svg is not what the program draws: run go run ./docs/figures")
	}
	for dec := xml.NewDecoder(bytes.NewReader(got)); ; {
		if _, err := dec.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("architecture.svg is no XML: %v", err)
		}
	}
}
