package network

import (
	"context"
	"errors"
	"testing"

	"evio/datapath/ovs"
	"evio/driver/plane"
)

// A switch that is there is used also when the call is over: what fails then is what the
// call waits for, and no fault of the switch.
func TestSwitchThatIsThereForACallThatIsOver(t *testing.T) {
	p := &Plane{ready: make(chan struct{}), swErr: errStarting}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.waitSwitch(over); !errors.Is(err, errStarting) || !errors.As(err, &plane.Unavailable{}) {
		t.Errorf("no switch yet: %v", err)
	}
	p.sw, p.swErr = &ovs.Switch{}, nil
	close(p.ready)
	for range 100 {
		if sw, err := p.waitSwitch(over); sw != p.sw || err != nil {
			t.Fatalf("switch %p, error %v", sw, err)
		}
	}
}
