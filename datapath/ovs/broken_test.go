package ovs

import (
	"errors"
	"fmt"
	"testing"
)

func TestPortsError(t *testing.T) {
	none := broken{}
	whole := errors.New("no switch")
	if none.err() != nil || none.beside(whole) != whole { //nolint:errorlint // the very same
		t.Error("an error of no port")
	}
	some := broken{"b": errors.New("busy"), "a": errors.New("gone")}
	err := fmt.Errorf("apply: %w", some.err())
	var ports *PortsError
	if !errors.As(err, &ports) || len(ports.Ports) != 2 || err.Error() != "apply: port a: gone\nport b: busy" {
		t.Errorf("%v", err)
	}
	// Where the bridge is not as it should be the ports are not all that is wrong.
	err = some.beside(whole)
	if errors.As(err, &ports) || !errors.Is(err, whole) || err.Error() != "no switch\nport a: gone\nport b: busy" {
		t.Errorf("%v", err)
	}
}
