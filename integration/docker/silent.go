//go:build e2e

package docker

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"evio/integration/scenario"
	"evio/integration/testbed"
)

// lossStands is how long a loss is a fault after the last of it.
const lossStands = 60 * time.Second

// silent is two sites that both have the evio command.
type silent struct{ *scenario.Deployment }

// says waits until evio status at a site ends with a code and has said all the texts, its
// lines joined.
func (d silent) says(t *testing.T, s *scenario.Site, patience time.Duration, code int, texts ...string) {
	t.Helper()
	scenario.Until(t, patience, func() error {
		said, got := scenario.AskStatus(t, s, filepath.Join(testbed.SharedDir, "evio"), "status")
		said = strings.Join(strings.Fields(said), " ")
		if got != code {
			return fmt.Errorf("site %s: exit code %d, want %d: %s", s.Name(), got, code, said)
		}
		for _, text := range texts {
			if !strings.Contains(said, text) {
				return fmt.Errorf("site %s does not say %q: %s", s.Name(), text, said)
			}
		}
		return nil
	})
}

// both has both sites say the texts, in which THERE is the account of the other one, with
// exit code 3, and have the first of them among their faults.
func (d silent) both(t *testing.T, patience time.Duration, texts ...string) {
	t.Helper()
	for i, s := range d.Sites {
		mine := make([]string, len(texts))
		for j, text := range texts {
			mine[j] = strings.ReplaceAll(text, "THERE", d.Sites[1-i].Account.JID)
		}
		d.says(t, s, patience, 3, mine...)
		doc := scenario.Document(t, s)
		if faults := strings.Join(doc.Faults, "\n"); !strings.Contains(faults, mine[0]) {
			t.Errorf("site %s: %q is not among the faults:\n%s", s.Name(), mine[0], faults)
		}
	}
}

func (d silent) healthy(t *testing.T, patience time.Duration) {
	t.Helper()
	for _, s := range d.Sites {
		d.says(t, s, patience, 0)
		if doc := scenario.Document(t, s); len(doc.Faults) != 0 {
			t.Errorf("site %s is healthy with faults %q", s.Name(), doc.Faults)
		}
	}
}

// dropped is what one counter of a network has, at a site, its tunnels included.
func dropped(t *testing.T, s *scenario.Site, network, cause string) uint64 {
	t.Helper()
	n, err := s.NetworkStatus(scenario.Within(t, 10*time.Second), network)
	if err != nil {
		t.Fatal(err)
	}
	count := n.Drops[cause]
	for _, session := range n.Sessions {
		count += session.Drops[cause]
	}
	return count
}

// unlike makes a network at both sites with arguments of their own, and a container each.
// The function returned removes one end of it, with its container; the test's end the other.
func (d silent) unlike(t *testing.T, name string, args [2][]string) (removeSecond func()) {
	t.Helper()
	var group errgroup.Group
	for i, s := range d.Sites {
		group.Go(func() error {
			all := append([]string{"network", "create", "-d", "evio", "--ipv6", "-o", "evio.overlay=" + name}, args[i]...)
			if _, err := s.Docker(scenario.Within(t, 30*time.Second), append(all, name)...); err != nil {
				return err
			}
			return s.RunContainer(scenario.Within(t, 30*time.Second), s.Name()+"-"+name, name)
		})
	}
	remove := func(s *scenario.Site) {
		ctx := context.WithoutCancel(t.Context())
		_, err := s.Docker(ctx, "rm", "-f", s.Name()+"-"+name)
		if _, rm := s.Docker(ctx, "network", "rm", name); rm != nil || err != nil {
			t.Error(errors.Join(err, rm))
		}
	}
	second := false
	t.Cleanup(func() {
		remove(d.Sites[0])
		if !second {
			remove(d.Sites[1])
		}
	})
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := d.WaitSessions(scenario.Within(t, 20*time.Second), name); err != nil {
		t.Fatal(err)
	}
	return func() {
		second = true
		remove(d.Sites[1])
	}
}

// subnets are the arguments for a network whose subnets have a number each, and whose
// ranges are those of a site. Without a number for IPv6 the engine chooses.
func subnets(site, v4, v6 int) []string {
	args := []string{"--subnet", fmt.Sprintf("10.%d.0.0/16", v4), "--ip-range", fmt.Sprintf("10.%d.%d.0/24", v4, site+1)}
	if v6 == 0 {
		return args
	}
	return append(args, "--subnet", fmt.Sprintf("fd00:%d::/64", v6), "--ip-range", fmt.Sprintf("fd00:%d:0:0:%d::/80", v6, site+1))
}
