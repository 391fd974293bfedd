//go:build component

package netdev

import (
	"errors"
	"slices"
	"testing"

	"github.com/safchain/ethtool"
	"golang.org/x/sys/unix"
)

// TestLimitOffloads: what is left to a device is what was to be kept, and nothing that the
// kernel may have beside it.
func TestLimitOffloads(t *testing.T) {
	tool, err := ethtool.NewEthtool()
	if err != nil {
		t.Fatal(err)
	}
	defer tool.Close()
	for _, c := range []struct {
		keep Offloads
		want []string
	}{
		{TCPOffloads, []string{"tx-checksum-ip-generic", "tx-tcp-segmentation", "tx-tcp6-segmentation"}},
		{NoOffloads, nil},
	} {
		if err := CreateVeth("host0", "cont0", 1400, testMAC); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = Delete("host0") })
		before, err := tool.Features("cont0")
		if err != nil || !before["tx-udp-segmentation"] || !before["tx-udp_tnl-segmentation"] {
			t.Fatalf("they are off before: %v, %v", before, err)
		}
		for range 2 {
			if err := LimitOffloads("cont0", c.keep); err != nil {
				t.Fatal(err)
			}
		}
		after, err := tool.Features("cont0")
		if err != nil {
			t.Fatal(err)
		}
		var on []string
		for feature, active := range after {
			if active && isOffload(feature) {
				on = append(on, feature)
			}
		}
		if slices.Sort(on); !slices.Equal(on, c.want) {
			t.Errorf("left to the device: %v, want %v", on, c.want)
		}
	}
	if err := LimitOffloads("nosuch", NoOffloads); !errors.Is(err, unix.ENODEV) {
		t.Error(err)
	}
}
