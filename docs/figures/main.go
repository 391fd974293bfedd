// Command figures draws the figures of the documentation. It needs nothing but
// the standard library:
//
//	go run ./docs/figures
//
// writes docs/figures/architecture.svg, and docs/figures/nat-grid.svg from
// docs/figures/natgrid.json, which is a copy of what the end-to-end test TestNATGrid
// leaves in dist. A test compares the files with what the program draws.
package main

import (
	"fmt"
	"os"
)

func main() {
	if err := draw(); err != nil {
		fmt.Fprintln(os.Stderr, "figures:", err)
		os.Exit(1)
	}
}

func draw() error {
	figures, err := figures()
	if err != nil {
		return err
	}
	for name, figure := range figures {
		if err := os.WriteFile("docs/figures/"+name, figure, 0o644); err != nil { //nolint:gosec // a document that everybody may read
			return err
		}
	}
	return nil
}

// figures are all of them by file name.
func figures() (map[string][]byte, error) {
	grid, err := natGrid(measured)
	return map[string][]byte{"architecture.svg": architecture(), "nat-grid.svg": grid}, err
}
