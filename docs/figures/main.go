// Command figures draws the figures of the documentation. It needs nothing but
// the standard library:
//
//	go run ./docs/figures
//
// writes docs/figures/architecture.svg. A test compares the file with what the
// program draws.
package main

import (
	"fmt"
	"os"
)

func main() {
	if err := os.WriteFile("docs/figures/architecture.svg", architecture(), 0o644); err != nil { //nolint:gosec // a document that everybody may read
		fmt.Fprintln(os.Stderr, "figures:", err)
		os.Exit(1)
	}
}
