package suggest

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestNearest(t *testing.T) {
	names := []string{"evio.overlay", "evio.gateway", "com.docker.network.driver.mtu", "log", "ovs"}
	for word, want := range map[string]string{
		"evio.gatway": "evio.gateway", "EVIO.OVERLAY": "evio.overlay", "evio.gatewya": "evio.gateway",
		"com.docker.network.driver.mut": "com.docker.network.driver.mtu", "lgo": "", "logs": "log",
		"com.docker.network.mtu": "", "com.docker.network.bridge.name": "", "gateway": "", "us": "",
		"": "", "ip": "", strings.Repeat("x", 1000): "",
	} {
		got, ok := Nearest(word, names)
		if ok != (want != "") || ok && got != want {
			t.Errorf("Nearest(%q) = %q, %v, want %q", word, got, ok, want)
		}
	}
	if got, ok := Nearest("x", nil); ok && got != "" {
		t.Errorf("nearest of none: %q", got)
	}
}

// TestNearestIsNear: what is farther than two edits, or than half of the word, is never named.
func TestNearestIsNear(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[a-c]{0,6}`).Draw(t, "word")
		names := rapid.SliceOf(rapid.StringMatching(`[a-c]{1,6}`)).Draw(t, "names")
		got, ok := Nearest(word, names)
		least := 7
		for _, name := range names {
			if d := distance(word, name); d <= 2 && d*2 <= max(len(word), len(name)) {
				least = min(least, d)
			}
		}
		if ok != (least < 7) || ok && (distance(word, got) != least || !slices.Contains(names, got)) {
			t.Errorf("Nearest(%q, %q) = %q, %v", word, names, got, ok)
		}
	})
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}, {"same", "same", 0}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
