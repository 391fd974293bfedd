package tap

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

const (
	minFrame = 14 // an Ethernet header
	tagLen   = 4
	maxTags  = 2
)

// longest returns the length of the longest frame that an MTU allows, to which tags in the
// frame are added.
func longest(data []byte, mtu int) int {
	n := mtu + minFrame
	for i := range maxTags {
		at := minFrame - 2 + i*tagLen
		if len(data) < at+2 {
			break
		}
		if kind := binary.BigEndian.Uint16(data[at:]); kind != unix.ETH_P_8021Q && kind != unix.ETH_P_8021AD {
			break
		}
		n += tagLen
	}
	return n
}

// fits reports whether a frame is whole and within the MTU.
func fits(data []byte, mtu int) bool {
	return len(data) >= minFrame && len(data) <= longest(data, mtu)
}
