//go:build e2e

package docker

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"evio/driver/status"
	"evio/integration/scenario"
)

// awaitOwner waits until each of some sites' directories has an address at another
// site, or at nobody if that is nil.
func awaitOwner(t *testing.T, n scenario.Network, addr string, owner *scenario.Site, at ...*scenario.Site) {
	t.Helper()
	for _, s := range at {
		scenario.UntilContext(t, 10*time.Second, func(ctx context.Context) error {
			st, err := s.NetworkStatus(ctx, n.Name)
			if err != nil {
				return err
			}
			node, want := "", ""
			for _, e := range st.Directory {
				if e.Address == addr {
					node = e.Node
				}
			}
			for _, m := range st.Members {
				if owner != nil && m.JID == owner.Account.JID {
					want = m.Node
				}
			}
			if s == owner {
				want = st.Node
			}
			if node != want {
				return fmt.Errorf("at %s %s is at node %q, want %q", s.Name(), addr, node, want)
			}
			return nil
		})
	}
}

// reaches waits until the site's container has an answer from an address.
func reaches(t *testing.T, s *scenario.Site, n scenario.Network, addr string, most time.Duration) {
	t.Helper()
	scenario.UntilContext(t, most, func(ctx context.Context) error {
		_, err := s.Exec(ctx, scenario.ContainerName(s, n), "ping", "-c", "1", "-W", "1", addr)
		return err
	})
}

func conflicts(ctx context.Context, s *scenario.Site, n scenario.Network) ([]status.Conflict, error) {
	st, err := s.NetworkStatus(ctx, n.Name)
	return st.Conflicts, err
}

// echoes returns how many echo requests the loser has got.
func echoes(t *testing.T, s *scenario.Site) int {
	t.Helper()
	rows := regexp.MustCompile(`(?m)^Icmp: (.*)$`).FindAllStringSubmatch(scenario.Exec(t, s, "loser", "cat", "/proc/net/snmp"), 2)
	if len(rows) != 2 {
		t.Fatal("no statistics of ICMP")
	}
	for i, field := range strings.Fields(rows[0][1]) {
		if field == "InEchos" {
			count, err := strconv.Atoi(strings.Fields(rows[1][1])[i])
			if err != nil {
				t.Fatal(err)
			}
			return count
		}
	}
	t.Fatal("no count of echo requests")
	return 0
}

var sequence = regexp.MustCompile(`icmp_seq=(\d+)`)

// steadyPing pings an address ten times a second until stop is called, which returns how
// many requests up to the last answer were sent and how many had an answer.
func steadyPing(t *testing.T, s *scenario.Site, n scenario.Network, addr string) (stop func() (sent, received int)) {
	t.Helper()
	done := make(chan string, 1)
	go func() {
		out, err := s.Exec(scenario.Within(t, time.Minute), scenario.ContainerName(s, n), "ping", "-i", "0.1", "-w", "60", addr)
		if err != nil {
			out = err.Error()
		}
		done <- out
	}()
	return func() (sent, received int) {
		t.Helper()
		scenario.Exec(t, s, scenario.ContainerName(s, n), "sh", "-c", "kill -INT $(pidof ping)")
		seen := map[int]bool{}
		for _, m := range sequence.FindAllStringSubmatch(<-done, -1) {
			number, err := strconv.Atoi(m[1])
			if err != nil {
				t.Fatal(err)
			}
			seen[number] = true
			sent = max(sent, number)
		}
		return sent, len(seen)
	}
}

// logged checks how often the plugin at a site has logged a text.
func logged(t *testing.T, d *scenario.Deployment, s *scenario.Site, text string, times int) {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(d.Lab.LogDir(), s.Name()+"-dockerd.log"))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(log), text); got != times {
		t.Errorf("%s has logged %q %d times, want %d", s.Name(), text, got, times)
	}
}
