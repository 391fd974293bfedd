//go:build e2e

package applications

import (
	"strconv"
	"strings"
	"testing"
)

// frameRows are frames with tags that a container makes itself.
func frameRows() []application {
	return []application{
		{name: "tag 10, small", run: tagged("8100", "000a", 64)},
		{name: "tag 10, full", run: tagged("8100", "000a", 1418)},
		{name: "tag of a provider", run: tagged("88a8", "0014", 1414)},
		{name: "two tags", run: tagged("88a8", "00148100000a", 1414)},
		// Tag 0 says that there is none: the bridge refuses it (README.md).
		{name: "tag 0", run: tagged("8100", "0000", 64), exception: []string{"8100:0 64 bytes"}},
	}
}

// tagged sends ten frames of so many bytes, all tags included.
func tagged(kind, tags string, bytes int) func(*testing.T, *applications, way) tally {
	return func(t *testing.T, _ *applications, w way) tally {
		ear := w.to.ear(t, "app-frames-recv", "-dev", "eth0", "-type", strconv.Itoa(0x88b5), "-first", "2s", "-idle", "500ms")
		payload := tags + "88b5"
		payload += strings.Repeat("5a", bytes-14-len(payload)/2)
		w.from.run(t, "probe", "raw-send", "-dev", "eth0", "-mac-dst", w.to.mac, "-type", "0x"+kind, "-payload", payload, "-count", "10")
		var got struct{ Frames tally }
		ear.Wait(t, &got)
		return got.Frames
	}
}
