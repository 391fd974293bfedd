//go:build e2e

package hostile

import (
	"testing"
)

// TestGuard: containers that give themselves addresses, route, are machines of their own or
// give addresses to others, in networks of each guard. What is allowed works from every site;
// what is not gets nothing and is counted. All cases share three sites and run at once, so
// that bounds of time are three times what is promised where only the load of the machine
// decides.
func TestGuard(t *testing.T) {
	g := newGuarded(t)
	t.Run("at once", func(t *testing.T) {
		t.Run("vips", func(t *testing.T) { t.Parallel(); g.vips(t) })
		t.Run("no addresses of Docker's", func(t *testing.T) { t.Parallel(); g.nullIPAM(t) })
		for _, n := range guards {
			t.Run(n.guard, func(t *testing.T) {
				t.Parallel()
				w := g.populate(t, n)
				t.Run("own address", w.ownAddress)
				t.Run("routing", w.routing)
				t.Run("exit node", w.exitNode)
				t.Run("DHCP", w.dhcp)
				t.Run("macvlan", w.macvlan)
				t.Run("virtual machine", w.virtualMachine)
				t.Run("theft", w.theft)
			})
		}
	})
	// The last, since its site does not come back.
	t.Run("power off", g.powerOff)
}
