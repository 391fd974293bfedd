//go:build e2e

package applications

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"evio/integration/scenario"
)

// testUnknownOffload: a container that leaves to its card what the switch does not know loses its
// own frames, which are counted, and nobody else's.
func testUnknownOffload(t *testing.T, s *applications) {
	const (
		mine   = 2000 // datagrams of somebody else, one each millisecond
		calls  = 200  // of the container, one every 10 ms
		within = 10   // segments in each
	)
	w, other := s.evio[0], s.third
	w.from.run(t, "ethtool", "-K", "eth0", "tx-udp-segmentation", "on")
	defer w.from.run(t, "ethtool", "-K", "eth0", "tx-udp-segmentation", "off")
	lost := scenario.OfOverlay(s.network.Overlay, "switch-offload")
	before := lost.Read(scenario.Document(t, w.from.Site))
	theirs := w.to.ear(t, "app-udp-recv", "-listen", ":5557", "-first", "5s", "-idle", "1s")
	own := w.to.ear(t, "app-udp-recv", "-listen", ":5555", "-first", "5s", "-idle", "1s")
	sender := scenario.Enter(t, other.Spot, "probe", "app-udp-send", "-to", w.to.v4+":5557", "-size", "1000", "-count", strconv.Itoa(mine), "-every", "1ms")
	w.from.run(t, "probe", "app-udp-send", "-to", w.to.v4+":5555", "-size", strconv.Itoa(1200*within), "-segment", "1200", "-count", strconv.Itoa(calls), "-every", "10ms")
	sender.Wait(t, &struct{}{})

	var got struct{ Sizes map[int]int }
	theirs.Wait(t, &got)
	if came := got.Sizes[1000]; came < mine*99/100 {
		t.Errorf("%d of %d datagrams of another container came", came, mine)
	}
	got.Sizes = nil
	own.Wait(t, &got)
	came := 0
	for size, n := range got.Sizes {
		if size != 1200 {
			t.Errorf("%d datagrams of %d bytes came, which nobody has sent", n, size)
		}
		came += n
	}
	want := uint64(calls*within - came)
	scenario.Until(t, 10*time.Second, func() error {
		if now := lost.Read(scenario.Document(t, w.from.Site)); now-before != want {
			return fmt.Errorf("%d datagrams came of %d, and %d are counted as lost, want %d", came, calls*within, now-before, want)
		}
		return nil
	})
}
