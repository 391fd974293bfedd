// Package device names, marks and opens the network devices of this engine: the names
// are hashes, a mark says in words whose a device is, and a port is a TAP that outlives
// the device under it.
package device

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"evio/overlay/identity"
)

// Device names are a prefix and ten hexadecimal digits of a hash, 13 bytes of the
// 15 that Linux allows. The engine is part of what is hashed, so several engines
// can share one host and one Open vSwitch.
const (
	BridgePrefix = "evb" // Open vSwitch bridge of a network
	FabricPrefix = "evf" // TAP through which the bridge hands frames to this process
	LinkPrefix   = "evl" // TAP of a link to one peer
	AskingPrefix = "eva" // TAP through which the bridge asks whether a container may send a frame
)

// Name returns the name of a device: a prefix, and a hash of the engine's ID and of what
// the device is for.
func Name(prefix string, parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return prefix + hex.EncodeToString(h.Sum(nil)[:5])
}

// EngineID names an engine in hashes of device names. It is derived from the
// engine's identity, so it stays the same over restarts.
func EngineID(key ed25519.PrivateKey) string {
	sum := sha256.Sum256(identity.Public(key))
	return hex.EncodeToString(sum[:8])
}

// OwnInterface reports whether a network interface is one of this driver's, which
// must never be offered to a peer as an address to reach this engine at.
func OwnInterface(name string) bool {
	return strings.HasPrefix(name, "ev") && len(name) == len(BridgePrefix)+10
}
