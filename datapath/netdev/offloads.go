package netdev

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/safchain/ethtool"
)

// Offloads is what a network stack may leave to a device: sums and the cutting into
// segments.
type Offloads uint8

const (
	// NoOffloads makes frames come complete and no longer than the MTU. A bridge in user space
	// without segmentation support passes frames on as they are.
	NoOffloads Offloads = iota
	// TCPOffloads are TCP that is to be cut, and sums of TCP and UDP. It is all that Open
	// vSwitch in user space knows.
	TCPOffloads
)

// kept names, as the kernel does, what a stack may leave to a device.
var kept = map[Offloads][]string{
	TCPOffloads: {"tx-checksum-ip-generic", "tx-tcp-segmentation", "tx-tcp6-segmentation"},
}

// LimitOffloads keeps a device's owner from leaving more to it than keep. It asks the
// kernel what there is, so that a kind of segmentation that is new is off as well: a
// frame of UDP segments, of a tunnel's inner segments or with a CWR flag to be repeated
// is lost in a switch that does not know it.
func LimitOffloads(name string, keep Offloads) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if err := limitOffloads(name, keep); err != nil {
		return fmt.Errorf("switch offloads of %s off: %w", name, err)
	}
	return nil
}

// limitOffloads makes few calls: each waits for the kernel's lock of all changes of
// devices, for which many starting containers queue.
func limitOffloads(name string, keep Offloads) error {
	tool, err := ethtool.NewEthtool()
	if err != nil {
		return err
	}
	defer tool.Close()
	all, err := offloads(tool, name)
	if err != nil {
		return err
	}
	off := make(map[string]bool, len(all))
	for _, feature := range all {
		if !slices.Contains(kept[keep], feature) {
			off[feature] = false
		}
	}
	return tool.Change(name, off)
}

// known are the kernel's names of all offloads, which are the same for every device.
var known struct {
	mu    sync.Mutex
	names []string
}

// offloads asks for these names by any device.
func offloads(tool *ethtool.Ethtool, name string) ([]string, error) {
	known.mu.Lock()
	defer known.mu.Unlock()
	if known.names != nil {
		return known.names, nil
	}
	features, err := tool.FeatureNames(name)
	if err != nil {
		return nil, err
	}
	for feature := range features {
		if isOffload(feature) {
			known.names = append(known.names, feature)
		}
	}
	return known.names, nil
}

// isOffload tells by the kernel's name of a feature whether a stack leaves unfinished
// frames to a device that has it.
func isOffload(feature string) bool {
	return strings.HasPrefix(feature, "tx-checksum-") || strings.HasPrefix(feature, "tx-gso-") ||
		strings.HasPrefix(feature, "tx-") && strings.HasSuffix(feature, "-segmentation") || feature == "tx-udp-fragmentation"
}
