//go:build e2e

package docker

import (
	"strings"
	"testing"
	"time"

	"evio/integration/scenario"
)

// testOutside: a container reaches the outside world through Docker's own bridge
// unless its network is internal or says that it wants no way out.
func testOutside(t *testing.T, d *scenario.Deployment) {
	server, _, _ := strings.Cut(d.Lab.Internet().TURN.Address(), ":")
	for _, c := range []struct {
		name string
		args []string
		out  bool
	}{
		{"outbound", nil, true},
		{"internal", []string{"--internal"}, false},
		{"nowayout", []string{"-o", "evio.gateway=none"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := scenario.Network{Name: c.name, Overlay: c.name, Net: 14, Args: c.args}
			scenario.StartOverlay(t, d, n)
			s, far := d.Sites[0], d.Sites[1]
			v4, _ := scenario.Addresses(t, far, scenario.ContainerName(far, n), n.Name)
			scenario.Exec(t, s, scenario.ContainerName(s, n), "ping", "-c", "2", "-i", "0.2", "-W", "2", v4)
			_, err := s.Exec(scenario.Within(t, 10*time.Second), scenario.ContainerName(s, n), "ping", "-c", "1", "-W", "2", server)
			if reached := err == nil; reached != c.out {
				t.Errorf("the internet is reached: %v, want %v (%v)", reached, c.out, err)
			}
		})
	}
}
