package device

import (
	"crypto/ed25519"
	"testing"

	"evio/datapath/netdev"
)

func TestDeviceNames(t *testing.T) {
	key := func(n byte) ed25519.PrivateKey {
		seed := make([]byte, ed25519.SeedSize)
		seed[0] = n
		return ed25519.NewKeyFromSeed(seed)
	}
	a, b := EngineID(key(1)), EngineID(key(2))
	if a == b || a != EngineID(key(1)) {
		t.Fatalf("engine IDs %s and %s", a, b)
	}
	seen := map[string]bool{}
	for _, name := range []string{
		Name(BridgePrefix, a, "n"), Name(BridgePrefix, b, "n"), Name(BridgePrefix, a, "m"),
		Name(FabricPrefix, a, "n"),
		Name(LinkPrefix, a, "n", "p"), Name(LinkPrefix, a, "n", "q"),
		Name(LinkPrefix, a, "np"), Name(LinkPrefix, a, "", "np"), // parts do not run together
	} {
		if err := netdev.CheckName(name); err != nil {
			t.Error(err)
		}
		if seen[name] {
			t.Errorf("%s names two devices", name)
		}
		seen[name] = true
		if !OwnInterface(name) {
			t.Errorf("%s is not seen as ours", name)
		}
	}
	for _, name := range []string{"eth0", "evlan", "docker0", "ev", ""} {
		if OwnInterface(name) {
			t.Errorf("%s is seen as ours", name)
		}
	}
}
