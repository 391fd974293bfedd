//go:build e2e

package hostile

import (
	"encoding/json"
	"fmt"
	"strconv"
	"testing"
	"time"

	"evio/integration/scenario"
	"evio/plugin/config"
)

const nobody = "203.0.113.99" // an address that only forgers use

// tampered is what `probe tamper` printed.
type tampered struct {
	Captured int      `json:"captured"`
	Sent     []string `json:"sent"`
}

// tamper stands between b's router and b, while a sends to b.
func (f *federation) tamper(t *testing.T, d time.Duration, args ...string) tampered {
	t.Helper()
	base := []string{"probe", "tamper", "-listen", "lan", "-to", fmt.Sprintf("%s:%d", f.b.Addr(), config.DefaultUDPPort), "-for", d.String()}
	out, err := f.b.Router.Run(scenario.Within(t, d+10*time.Second), append(base, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	var done tampered
	if err := json.Unmarshal([]byte(out), &done); err != nil {
		t.Fatal(err)
	}
	return done
}

// talk has one site send numbered copies of a token to another; wait for what is returned.
func talk(t *testing.T, from, to *scenario.Site, token string, count int) <-chan struct{} {
	t.Helper()
	p, err := from.Start(scenario.Within(t, 10*time.Second), "talk", "nsenter", "--net=/run/netns/"+open.Name,
		"probe", "udp-send", "-to", open.Addresses(to)[0].String()+":9", "-token", token, "-size", "600", "-count", strconv.Itoa(count), "-every", "50ms")
	if err != nil {
		t.Fatal(err)
	}
	return p.Done()
}

func pings(t *testing.T, from, to *scenario.Site) {
	t.Helper()
	scenario.Inside(t, from, open.Name, "ping", "-q", "-c", "2", "-i", "0.2", "-W", "2", open.Addresses(to)[0].String())
}
