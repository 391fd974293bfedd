package ovs

import (
	"testing"

	"evio/datapath/netdev"
)

func TestRoom(t *testing.T) {
	for mtu, want := range map[int]int{
		68: leastRoom, 1400: leastRoom, 9000: burst * (16384 + frameHead), netdev.MaxMTU: burst * (131072 + frameHead),
	} {
		if got := room(mtu); got != want {
			t.Errorf("MTU %d: %d, want %d", mtu, got, want)
		}
	}
}

// TestSocketsCount: a socket's counter wraps, sockets come and go, and the sum only grows.
func TestSocketsCount(t *testing.T) {
	of := &sockets{known: map[uint32]socket{}}
	of.note(netdev.PacketSocket{Inode: 1, Dropped: 5}, "eva")
	of.note(netdev.PacketSocket{Inode: 1, Dropped: 7}, "eva") // set up again: counted by count
	check := func(what string, want uint64, ports int) {
		t.Helper()
		if of.full != want || len(of.equipped()) != ports {
			t.Errorf("%s: %d, want %d; ports %v", what, of.full, want, of.equipped())
		}
	}
	check("set up", 5, 1)
	of.count([]netdev.PacketSocket{{Inode: 1, Dropped: 1<<32 - 1}, {Inode: 9, Dropped: 50}})
	check("another's socket", 1<<32-1, 1)
	of.count([]netdev.PacketSocket{{Inode: 1, Dropped: 2}})
	check("it has wrapped", 1<<32+2, 1)
	of.count(nil)
	check("it is closed", 1<<32+2, 0)
	of.note(netdev.PacketSocket{Inode: 1, Dropped: 1}, "evb")
	check("another one with its number", 1<<32+3, 1)
}
