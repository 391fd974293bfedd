package device

import (
	"strings"

	"evio/datapath/netdev"
)

// Words of every mark.
const (
	markWord    = "evio"
	markNetwork = "network"
)

// Words before the ID of the endpoint or peer that a device serves within its network.
const (
	ForEndpoint = "endpoint"
	ForPeer     = "peer"
)

// Mark says whose a device is: "evio ENGINE network ID", and what of the network
// it serves. A name is a hash and says nothing of that. The mark is empty if the words cannot be told
// apart in it; such a device stays unmarked.
func Mark(engine, network string, more ...string) string {
	words := append([]string{markWord, engine, markNetwork, network}, more...)
	text := strings.Join(words, " ")
	fields := strings.Fields(text)
	if len(text) > netdev.MaxMark || len(fields) != len(words) || strings.Join(fields, " ") != text {
		return ""
	}
	return text
}

// Owner is what a mark says of a device.
type Owner struct {
	Network  string
	Endpoint string // empty: a TAP of the network
}

// ReadMark reads a mark of this engine; what others wrote is none.
func ReadMark(engine, text string) (Owner, bool) {
	f := strings.Split(text, " ")
	if len(f) < 4 || f[0] != markWord || f[1] != engine || f[2] != markNetwork || f[3] == "" {
		return Owner{}, false
	}
	o := Owner{Network: f[3]}
	switch {
	case len(f) == 4:
		return o, true
	case len(f) == 6 && f[5] != "" && f[4] == ForEndpoint:
		o.Endpoint = f[5]
		return o, true
	}
	return o, len(f) == 6 && f[5] != "" && f[4] == ForPeer
}

// SetMark marks a device, if there is a mark for it.
func SetMark(name, mark string) error {
	if mark == "" {
		return nil
	}
	return netdev.Mark(name, mark)
}
