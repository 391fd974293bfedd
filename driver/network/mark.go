package network

import (
	"strings"

	"evio/datapath/netdev"
)

// Words of marks.
const (
	markWord     = "evio"
	markNetwork  = "network"
	markEndpoint = "endpoint"
	markPeer     = "peer"
)

// deviceMark says whose a device is: "evio ENGINE network ID", and what of the network
// it serves. Names are hashes and tell nobody. It is empty if the words cannot be told
// apart in it; such a device stays unmarked.
func deviceMark(engine, network string, more ...string) string {
	words := append([]string{markWord, engine, markNetwork, network}, more...)
	text := strings.Join(words, " ")
	fields := strings.Fields(text)
	if len(text) > netdev.MaxMark || len(fields) != len(words) || strings.Join(fields, " ") != text {
		return ""
	}
	return text
}

// markOwner is what a mark says of a device.
type markOwner struct {
	network  string
	endpoint string // empty: a TAP of the network
}

// readMark reads a mark of this engine; what others wrote is none.
func readMark(engine, text string) (markOwner, bool) {
	f := strings.Split(text, " ")
	if len(f) < 4 || f[0] != markWord || f[1] != engine || f[2] != markNetwork || f[3] == "" {
		return markOwner{}, false
	}
	o := markOwner{network: f[3]}
	switch {
	case len(f) == 4:
		return o, true
	case len(f) == 6 && f[5] != "" && f[4] == markEndpoint:
		o.endpoint = f[5]
		return o, true
	}
	return o, len(f) == 6 && f[5] != "" && f[4] == markPeer
}

// setMark marks a device, if there is a mark for it.
func setMark(name, mark string) error {
	if mark == "" {
		return nil
	}
	return netdev.Mark(name, mark)
}
