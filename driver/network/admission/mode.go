// Package admission says who may say what in a network: which frames containers, and
// the members of the overlay on behalf of theirs, may send, and which are delivered.
package admission

import (
	"fmt"
	"slices"
)

// Mode is how much a container may say beyond the addresses that Docker gave it.
type Mode string

// Modes, as option evio.guard names them.
const (
	Strict Mode = "strict" // nothing
	Claim  Mode = "claim"  // what it claims, as long as nobody holds it
	Open   Mode = "open"   // whatever nobody else holds
)

// Modes are all there are, from the closest to the widest.
var Modes = []Mode{Strict, Claim, Open}

// ParseMode reads the value of an option; empty is the usual mode.
func ParseMode(s string) (Mode, error) {
	switch m := Mode(s); {
	case s == "":
		return Claim, nil
	case slices.Contains(Modes, m):
		return m, nil
	}
	return "", fmt.Errorf("guard %q: use strict, claim or open", s)
}
