package view

import (
	"bytes"
	"strings"
	"testing"

	"evio/driver/status"
)

// TestClocks: whose clock is off by a second or more is named, by how much and how well
// that is known.
func TestClocks(t *testing.T) {
	clock := func(ms int64, likely bool) *status.Clock { return &status.Clock{AheadMillis: ms, Likely: likely} }
	d := status.Document{Networks: []status.Network{{Name: "n", Overlay: "o", Running: true, Members: []status.Member{
		{JID: "unknown@x", Node: "1"},
		{JID: "right@x", Node: "2", Clock: clock(400, false)},
		{JID: "ahead@x", Node: "3", Site: "lab", Clock: clock(240_000, false)},
		{JID: "behind@x", Node: "4", Clock: clock(-3_600_200, true)},
	}}}}
	var out bytes.Buffer
	if err := Print(&out, d); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"the clock of ahead@x (lab) is 4m0s ahead of this engine's\n",
		"the clock of behind@x seems to be 1h0m0s behind this engine's\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, &out)
		}
	}
	if n := strings.Count(out.String(), "the clock of"); n != 2 {
		t.Errorf("%d clocks, want 2:\n%s", n, &out)
	}
}
