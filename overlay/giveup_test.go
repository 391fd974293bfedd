package overlay

import (
	"context"
	"crypto/ed25519"
	"net/netip"
	"testing"
	"testing/synctest"

	"evio/overlay/identity"
	"evio/overlay/nodeid"
)

// What a container gives up, and another one here takes at once behind the same MAC address,
// is the other's, whatever else waits for the node.
func TestGiveUpComesBeforeTheNextTake(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	vip, router := netip.MustParseAddr("10.0.0.200"), MAC{0, 0, 0x5e, 0, 1, 51}
	synctest.Test(t, func(t *testing.T) {
		n := New(Config{Overlay: labOverlay, Key: key, Log: (&lines{}).entry()})
		take := func(before func()) {
			result := make(chan error, 1)
			before()
			go func() { result <- n.Take(context.Background(), vip, router) }()
			synctest.Wait()
			n.mail.run(t.Context(), 100)
			if err := <-result; err != nil {
				t.Fatal(err)
			}
		}
		take(func() {})
		take(func() {
			for range 3 {
				n.mail.put(func() {})
			}
			n.GiveUp(vip, router)
		})
		if e, ok := n.Table().Lookup(vip); !ok || e.Node != nodeid.FromKey(identity.Public(key), labOverlay) {
			t.Errorf("the address is at %v", e.Node)
		}
	})
}
