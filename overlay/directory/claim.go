package directory

import (
	"bytes"
	"net"
	"net/netip"
	"time"

	"evio/overlay/nodeid"
)

const (
	// Lifetime is how long a claim holds after it was signed.
	Lifetime = 30 * time.Minute
	// Skew is by how much the clocks of two engines may differ.
	Skew = 5 * time.Minute
	// MaxClaims bounds the keys that one node may claim at a time.
	MaxClaims = 1024

	// maxGeneration leaves room for a successor of every claim that is accepted.
	maxGeneration = 1 << 48
)

// MAC is an Ethernet address.
type MAC = [6]byte

// Key is what is claimed: an address, or a MAC address if Addr is not valid. The
// zero Key stands for all that a node claims.
type Key struct {
	Addr netip.Addr
	MAC  MAC
}

func (k Key) String() string {
	switch {
	case k.Addr.IsValid():
		return "address " + k.Addr.String()
	case k.MAC != MAC{}:
		return "MAC address " + net.HardwareAddr(k.MAC[:]).String()
	}
	return "all keys"
}

// compare orders keys for people and for announcements: MAC addresses come first,
// because addresses refer to them.
func (k Key) compare(o Key) int {
	if c := k.Addr.Compare(o.Addr); c != 0 {
		return c
	}
	return bytes.Compare(k.MAC[:], o.MAC[:])
}

// Claim says that a node owns a key, or does so no longer.
type Claim struct {
	// Addr is the claimed address. If it is not valid the claim is of MAC; if MAC is
	// zero as well, the claim is a withdrawal of all that the owner claimed with a
	// lower sequence number, in an earlier life.
	Addr       netip.Addr
	MAC        MAC
	Owner      nodeid.ID
	Generation uint64
	Sequence   uint64
	// Expiry has millisecond precision in a record.
	Expiry    time.Time
	Withdrawn bool
}

// Key returns what is claimed.
func (c Claim) Key() Key {
	if c.Addr.IsValid() {
		return Key{Addr: c.Addr}
	}
	return Key{MAC: c.MAC}
}

// outranks says which of two claims of one key stays when both owners live.
func (c Claim) outranks(o Claim) bool {
	if c.Generation != o.Generation {
		return c.Generation > o.Generation
	}
	return nodeid.Compare(c.Owner, o.Owner) < 0
}

// Entry is a key with the node that holds it.
type Entry struct {
	Addr       netip.Addr // not valid for a MAC address's entry
	MAC        MAC
	Node       nodeid.ID
	Generation uint64
	Expiry     time.Time
	Contested  bool // another node claims it, too
}

// Change is a key whose holder, or whose holder's MAC address, has changed. The
// change of a MAC address also decides whether addresses with it are answered.
type Change struct {
	Key           Key
	Before, After Entry // zero Node: nobody
}

// Lost is an address of ours, or without one a MAC address, that another node has: it
// holds the address or the MAC address.
type Lost struct {
	Key   Key
	MAC   MAC
	Owner nodeid.ID
}

// Update is what came of an event.
type Update struct {
	Announce [][]byte // records for every node, in this order
	Changes  []Change
	Lost     []Lost
	Regained []Key // what was lost and is ours again
}
