package tap

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"evio/datapath/frame"
)

const (
	minFrame = 14 // an Ethernet header
	tagLen   = 4
	maxTags  = 2
)

// tags returns how many VLAN tags a frame has, at most maxTags.
func tags(data []byte) int {
	for i := range maxTags {
		at := minFrame - 2 + i*tagLen
		if len(data) < at+2 {
			return i
		}
		if kind := binary.BigEndian.Uint16(data[at:]); kind != unix.ETH_P_8021Q && kind != unix.ETH_P_8021AD {
			return i
		}
	}
	return maxTags
}

// longest returns the length of the longest frame that an MTU allows, to which tags in the
// frame are added.
func longest(data []byte, mtu int) int { return mtu + minFrame + tags(data)*tagLen }

// fits reports whether a frame is whole, and within the MTU, as are the segments of a
// super-frame. What is said of a super-frame and cannot be is not looked into.
func fits(f frame.Frame, mtu int) bool {
	if len(f.Data) < minFrame {
		return false
	}
	length := len(f.Data)
	if f.Kind != frame.Single {
		at, ok := payload(f)
		if !ok {
			return true
		}
		length = min(length, at+int(f.Segment))
	}
	return length <= longest(f.Data, mtu)
}

// shrink makes the segments of a super-frame of TCP smaller if they are not within the MTU.
// Open vSwitch before 3.3.0 does not keep the size that the sender asked for, and names one
// that leaves no room for TCP's options.
func shrink(f *frame.Frame, mtu int) {
	at, ok := payload(*f)
	if !ok || f.Kind == frame.UDP {
		return
	}
	if room := longest(f.Data, mtu) - at; room > 0 {
		f.Segment = uint16(min(int(f.Segment), room))
	}
}
