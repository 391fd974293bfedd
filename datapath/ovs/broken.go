package ovs

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// PortsError names the ports of a bridge that do not work, and why. All else of the
// bridge is as described.
type PortsError struct{ Ports map[string]error }

func (e *PortsError) Error() string {
	var all []error
	for _, name := range slices.Sorted(maps.Keys(e.Ports)) {
		all = append(all, fmt.Errorf("port %s: %w", name, e.Ports[name]))
	}
	return errors.Join(all...).Error()
}

// broken collects the ports that do not work.
type broken map[string]error

// err returns nil when all work.
func (b broken) err() error {
	if len(b) == 0 {
		return nil
	}
	return &PortsError{Ports: b}
}

// beside returns the error that kept the bridge from being as described; that ports
// do not work either is said in its text only.
func (b broken) beside(err error) error {
	if len(b) == 0 {
		return err
	}
	return fmt.Errorf("%w\n%s", err, b.err().Error())
}
