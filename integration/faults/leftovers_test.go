//go:build e2e

package faults

import (
	"strings"
	"testing"
	"time"

	"evio/integration/scenario"
)

// testLeftovers leaves something at a site and checks that it is found. Otherwise the check might
// see nothing at all.
func testLeftovers(t *testing.T, s *scenario.Site) {
	_, err := s.Script(scenario.Within(t, 10*time.Second), `
ip link add evh0123456789 type veth peer name evc0123456789
touch /var/lib/evio/docker/endpoint/left.json
ip netns add left
touch /run/docker/netns/0123456789ab
mount --bind /run/netns/left /run/docker/netns/0123456789ab
nsenter --net=/run/netns/left sleep 60 >/dev/null 2>&1 &`)
	if err != nil {
		t.Fatal(err)
	}
	left, err := s.Leftovers(scenario.Within(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(left, "; ")
	for _, want := range []string{"evh0123456789", "evc0123456789", "kind endpoint", "namespaces"} {
		if !strings.Contains(all, want) {
			t.Errorf("%s was not found among %q", want, left)
		}
	}
	_, err = s.Script(scenario.Within(t, 10*time.Second), `
pkill -f "^sleep 60$" || :
umount /run/docker/netns/0123456789ab
rm -f /run/docker/netns/0123456789ab /var/lib/evio/docker/endpoint/left.json
ip netns delete left
ip link delete evh0123456789 2>/dev/null || : # the plugin may have been faster`)
	if err != nil {
		t.Fatal(err)
	}
}
