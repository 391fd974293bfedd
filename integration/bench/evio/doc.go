// Package evio gives the bench evio's systems: two engines' worth of the product at the two
// machines of a pair, with a real XMPP server.
//
//   - evio-container: two plugin processes as `make build` makes them, each with an Open vSwitch of
//     its own, and a container's namespace at each. Every frame passes both switches.
//   - evio-turn: the same without a direct path; all records pass a coturn.
//   - evio-tap: two processes of Node, which is the plugin with another opener for the TAP of a
//     link. That TAP is an interface of the host itself and no port of the bridge.
//
// Networks are made and containers attached by the calls that Docker makes (docs/ARCHITECTURE.md,
// The path of a Docker call), so addresses, sessions, origin checks, rekeying and counters are the
// product's own.
package evio
