package spelling

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	names := []string{"evio.overlay", "evio.gateway", "com.docker.network.driver.mtu"}
	for word, want := range map[string]string{
		"evio.gatway": "evio.gateway", "EVIO.OVERLAY": "evio.overlay", "gateway": "evio.gateway",
		"com.docker.network.mtu": "com.docker.network.driver.mtu",
		"":                       "", "ip": "", strings.Repeat("x", 1000): "",
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
