package network

import (
	"testing"

	"evio/driver/network/claims"
	"evio/driver/plane"
	"evio/overlay"
)

// A MAC address that moves between two containers while the bridge is described is at one of
// them: the switch refuses a bridge where it is at both, and with it a container that joins.
func TestNoMACAddressAtTwoPorts(t *testing.T) {
	n := bare(t)
	router := overlay.MAC{0, 0, 0x5e, 0, 1, 51}
	for i, id := range []string{"a", "b"} {
		n.endpoints[id] = &endpoint{spec: plane.EndpointSpec{ID: id, HostIf: "lo", MAC: overlay.MAC{2, 5: byte(i + 1)}}, attached: true}
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			for _, id := range []string{"a", "b"} {
				select {
				case <-stop:
					return
				default:
					n.claimer.granted.Store(&map[string][]claims.Claim{id: {{MAC: router}}})
				}
			}
		}
	}()
	for range 2000 {
		b, _ := n.desired()
		count := 0
		for _, p := range b.Ports {
			for _, m := range p.MACs {
				if m == router {
					count++
				}
			}
		}
		if count > 1 {
			t.Errorf("%d ports have it", count)
			break
		}
	}
	close(stop)
	<-stopped
}
