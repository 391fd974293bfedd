//go:build e2e

package docker

import (
	"testing"

	"evio/integration/scenario"
)

// TestFederation is one federation of three sites, each behind a port-restricted
// NAT of its own, and what a user can see of it. The parts share the lab; each
// cleans up what it made.
func TestFederation(t *testing.T) {
	d := scenario.StartFederation(t)
	t.Run("reach", func(t *testing.T) { testReach(t, d) })
	t.Run("floods", func(t *testing.T) { testFloods(t, d) })
	t.Run("compose", func(t *testing.T) { testCompose(t, d) })
	t.Run("compose file", func(t *testing.T) { testComposeFile(t, d) })
	t.Run("outside", func(t *testing.T) { testOutside(t, d) })
	t.Run("docker", func(t *testing.T) { testDocker(t, d) })
	t.Run("isolation", func(t *testing.T) { testIsolation(t, d) })
	t.Run("spoofing", func(t *testing.T) { testSpoofing(t, d) })
	t.Run("privacy", func(t *testing.T) { testPrivacy(t, d) })
	t.Run("stranger", func(t *testing.T) { testStranger(t, d) })
	t.Run("bad input", func(t *testing.T) { testBadInput(t, d) })
	t.Run("interface names", func(t *testing.T) { testInterfaceNames(t, d) })
	t.Run("addresses", func(t *testing.T) { testAddresses(t, d) })
	t.Run("start", func(t *testing.T) { testStart(t, d) })
	t.Run("status", func(t *testing.T) { testStatus(t, d) })
	t.Run("outage", func(t *testing.T) { testOutage(t, d) })
	t.Run("restarts", func(t *testing.T) { testRestarts(t, d) })
	t.Run("collect", func(t *testing.T) { testCollect(t, d) })
}
