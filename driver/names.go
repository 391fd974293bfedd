package driver

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Names of a container's veth pair: a prefix and ten hexadecimal digits of a hash
// of engine and endpoint, 13 of the 15 bytes Linux allows.
const (
	HostPrefix      = "evh" // the end on the bridge
	ContainerPrefix = "evc" // the end that Docker moves into the container
)

func vethNames(engineID, endpointID string) (host, container string) {
	h := sha256.New()
	for _, part := range []string{"evio veth 1", engineID, endpointID} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	digits := hex.EncodeToString(h.Sum(nil)[:5])
	return HostPrefix + digits, ContainerPrefix + digits
}

// short is an ID as Docker shows it.
func short(id string) string {
	const digits = 12
	if len(id) <= digits {
		return id
	}
	return strings.ToValidUTF8(id[:digits], "")
}
