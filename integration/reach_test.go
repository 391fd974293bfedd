//go:build e2e

package integration

import (
	"encoding/json"
	"testing"
	"time"

	"evio/integration/scenario"
)

// testReach: all pairs of containers reach each other by IPv4 and IPv6, TCP and
// UDP, over direct paths.
func testReach(t *testing.T, d *scenario.Deployment) {
	blue := scenario.Network{Name: "blue", Overlay: "blue", Net: 11}
	overlayOf(t, d, blue)
	pairs(d, func(from, to *scenario.Site) {
		v4, v6 := addresses(t, to, name(to, blue), blue.Name)
		for _, addr := range []string{v4, v6} {
			exec(t, from, name(from, blue), "ping", "-c", "3", "-i", "0.2", "-W", "2", addr)
		}
	})
	for _, s := range d.Sites {
		exec(t, s, name(s, blue), "iperf3", "-s", "-D")
	}
	pairs(d, func(from, to *scenario.Site) {
		v4, v6 := addresses(t, to, name(to, blue), blue.Name)
		tcp := throughput(t, from, name(from, blue), "-c", v4, "-t", "2")
		tcp6 := throughput(t, from, name(from, blue), "-c", v6, "-t", "1")
		udp := throughput(t, from, name(from, blue), "-c", v4, "-u", "-b", "5M", "-t", "1")
		t.Logf("%s → %s: TCP %.0f Mb/s, TCP over IPv6 %.0f Mb/s, UDP %.1f of 5 Mb/s", from.Name(), to.Name(), tcp, tcp6, udp)
		if udp < 4.9 {
			t.Errorf("%s → %s: of 5 Mb/s UDP %.1f arrived", from.Name(), to.Name(), udp)
		}
	})
	checkDirect(t, d, blue)
}

// throughput runs an iperf3 client and returns what the server received, in Mb/s.
func throughput(t *testing.T, s *scenario.Site, container string, args ...string) float64 {
	t.Helper()
	out := exec(t, s, container, append([]string{"iperf3", "--json"}, args...)...)
	var result struct {
		End struct {
			SumReceived struct {
				BitsPerSecond float64 `json:"bits_per_second"`
			} `json:"sum_received"`
			Sum struct {
				BitsPerSecond float64 `json:"bits_per_second"`
				LostPercent   float64 `json:"lost_percent"`
			} `json:"sum"`
		} `json:"end"`
	}
	if err := json.Unmarshal([]byte(out), &result); err != nil {
		t.Fatalf("iperf3 printed %q: %v", out, err)
	}
	if r := result.End.SumReceived.BitsPerSecond; r > 0 {
		return r / 1e6
	}
	return result.End.Sum.BitsPerSecond * (1 - result.End.Sum.LostPercent/100) / 1e6
}

// checkDirect: by status, each session's far end is the other site's router.
func checkDirect(t *testing.T, d *scenario.Deployment, n scenario.Network) {
	t.Helper()
	byJID := map[string]*scenario.Site{}
	for _, s := range d.Sites {
		byJID[s.Account.JID] = s
	}
	for _, s := range d.Sites {
		st, err := s.NetworkStatus(within(t, 10*time.Second), n.Name)
		if err != nil {
			t.Fatal(err)
		}
		if len(st.Sessions) != len(d.Sites)-1 {
			t.Errorf("site %s has %d sessions", s.Name(), len(st.Sessions))
		}
		for _, session := range st.Sessions {
			far := byJID[session.JID]
			if far == nil {
				t.Fatalf("session with %q", session.JID)
			}
			want := far.Router.WAN().String()
			if got := addrOf(session.Path.Remote); got != want {
				t.Errorf("%s → %s: path to %s, want the router's address %s", s.Name(), far.Name(), session.Path.Remote, want)
			}
			if session.Path.RemoteType == "relay" || session.Path.LocalType == "relay" {
				t.Errorf("%s → %s: path of types %s–%s", s.Name(), far.Name(), session.Path.LocalType, session.Path.RemoteType)
			}
		}
	}
}
