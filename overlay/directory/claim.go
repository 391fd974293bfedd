package directory

import (
	"bytes"
	"cmp"
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
	// MaxTaken bounds those of them that its containers took by themselves.
	MaxTaken = 256
	// MaxRanges bounds those of them that are ranges.
	MaxRanges = 16
	// maxPerMAC bounds the addresses that one node may claim with one MAC address.
	maxPerMAC = 10

	// maxGeneration leaves room for a successor of every claim that is accepted.
	maxGeneration = 1 << 48
)

// MAC is an Ethernet address.
type MAC = [6]byte

// Key is what is claimed: an address, a range of addresses, or a MAC address if Addr is
// not valid. The zero Key stands for all that a node claims.
type Key struct {
	Addr netip.Addr
	Bits uint8 // length of the prefix of a range; 0: a single address
	MAC  MAC
}

func (k Key) String() string {
	switch {
	case k.Bits > 0:
		return "range " + k.prefix().String()
	case k.Addr.IsValid():
		return "address " + k.Addr.String()
	case k.MAC != MAC{}:
		return "MAC address " + net.HardwareAddr(k.MAC[:]).String()
	}
	return "all keys"
}

// rangeKey returns the key of a range.
func rangeKey(p netip.Prefix) Key { return Key{Addr: p.Addr(), Bits: uint8(p.Bits())} }

// prefix returns the range of a key, the zero Prefix if it is of something else.
func (k Key) prefix() netip.Prefix {
	if k.Bits == 0 {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(k.Addr, int(k.Bits))
}

// isAddr and isMAC say what a key is of; a range is neither.
func (k Key) isAddr() bool { return k.Addr.IsValid() && k.Bits == 0 }
func (k Key) isMAC() bool  { return !k.Addr.IsValid() }

// compare orders keys for people and for announcements: MAC addresses come first,
// because addresses refer to them.
func (k Key) compare(o Key) int {
	if c := k.Addr.Compare(o.Addr); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(k.Bits, o.Bits), bytes.Compare(k.MAC[:], o.MAC[:]))
}

// Claim says that a node owns a key, or does so no longer, or which other node it
// follows there.
type Claim struct {
	// Addr is the claimed address, or with Bits the range. If it is not valid the claim is
	// of MAC; if MAC is zero as well, the claim is a withdrawal of all that the owner
	// claimed with a lower sequence number, in an earlier life.
	Addr       netip.Addr
	Bits       uint8
	MAC        MAC
	Owner      nodeid.ID
	Generation uint64
	Sequence   uint64
	// Life is the sequence number with which the owner's process began.
	Life uint64
	// Expiry has millisecond precision in a record, as has Since.
	Expiry    time.Time
	Withdrawn bool
	Taken     bool // by a container, and not handed out by Docker
	Released  bool // withdrawn because Docker took it back
	Disputed  bool // the owner asks whom the others follow

	// Follows makes it a testimony instead: the owner has followed the claim of that node
	// Since then. A record says for how long, so clocks do not matter.
	Follows nodeid.ID
	Since   time.Time
}

// Key returns what is claimed.
func (c Claim) Key() Key {
	if c.Addr.IsValid() {
		return Key{Addr: c.Addr, Bits: c.Bits}
	}
	return Key{MAC: c.MAC}
}

// signed returns when the record was signed, by its owner's clock.
func (c Claim) signed() time.Time { return c.Expiry.Add(-Lifetime) }

// live reports whether the owner says that the key is its own.
func (c Claim) live() bool { return !c.Withdrawn && c.Follows.IsZero() }

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
	Taken      bool // by a container, and not handed out by Docker
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
	Taken bool // it was a container's own, and not handed out by Docker
}

// Update is what came of an event.
type Update struct {
	Announce [][]byte // records for every node, in this order
	Changes  []Change
	Lost     []Lost
	Regained []Key // what was lost and is ours again
}
