//go:build e2e

package docker

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"evio/integration/scenario"
)

// testReach: all pairs of containers reach each other by IPv4 and IPv6, TCP and
// UDP, over direct paths.
func testReach(t *testing.T, d *scenario.Deployment) {
	blue := scenario.Network{Name: "blue", Overlay: "blue", Net: 11}
	scenario.StartOverlay(t, d, blue)
	scenario.Pairs(d, func(from, to *scenario.Site) {
		v4, v6 := scenario.Addresses(t, to, scenario.ContainerName(to, blue), blue.Name)
		for _, addr := range []string{v4, v6} {
			scenario.Exec(t, from, scenario.ContainerName(from, blue), "ping", "-c", "3", "-i", "0.2", "-W", "2", addr)
		}
	})
	for _, s := range d.Sites {
		scenario.Exec(t, s, scenario.ContainerName(s, blue), "iperf3", "-s", "-D")
	}
	scenario.Pairs(d, func(from, to *scenario.Site) {
		v4, v6 := scenario.Addresses(t, to, scenario.ContainerName(to, blue), blue.Name)
		ctx := scenario.Within(t, 30*time.Second)
		tcp4, err4 := from.Throughput(ctx, scenario.ContainerName(from, blue), v4, 2)
		tcp6, err6 := from.Throughput(ctx, scenario.ContainerName(from, blue), v6, 1)
		if err := errors.Join(err4, err6); err != nil {
			t.Fatal(err)
		}
		lost := lostUDP(t, from, scenario.ContainerName(from, blue), v4)
		t.Logf("%s → %s: TCP %.0f Mb/s, over IPv6 %.0f Mb/s; UDP loses %.1f %% of 2 Mb/s", from.Name(), to.Name(), tcp4/1e6, tcp6/1e6, lost)
		if lost > 1 {
			t.Errorf("%s → %s: %.1f %% of the UDP datagrams are lost", from.Name(), to.Name(), lost)
		}
	})
	checkDirect(t, d, blue)
}

// lostUDP sends datagrams for a second and returns how many of them are lost, in
// percent.
func lostUDP(t *testing.T, s *scenario.Site, container, to string) float64 {
	t.Helper()
	out := scenario.Exec(t, s, container, "iperf3", "--json", "-c", to, "-u", "-b", "2M", "-t", "1")
	var result struct {
		End struct {
			Sum struct {
				Packets     int     `json:"packets"`
				LostPercent float64 `json:"lost_percent"`
			} `json:"sum"`
		} `json:"end"`
	}
	if err := json.Unmarshal([]byte(out), &result); err != nil || result.End.Sum.Packets == 0 {
		t.Fatalf("iperf3 printed %q: %v", out, err)
	}
	return result.End.Sum.LostPercent
}

// checkDirect: by status, each session's far end is the other site's router.
func checkDirect(t *testing.T, d *scenario.Deployment, n scenario.Network) {
	t.Helper()
	byJID := map[string]*scenario.Site{}
	for _, s := range d.Sites {
		byJID[s.Account.JID] = s
	}
	for _, s := range d.Sites {
		st, err := s.NetworkStatus(scenario.Within(t, 10*time.Second), n.Name)
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
