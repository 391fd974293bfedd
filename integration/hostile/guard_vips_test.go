//go:build e2e

package hostile

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"evio/integration/scenario"
	"evio/integration/testbed"
)

// vips moves addresses by keepalived, within a site and between two, with the containers'
// MAC addresses and with those of VRRP.
func (g *guarded) vips(t *testing.T) {
	p := &guardedPairs{guarded: g, askers: map[*scenario.Site]scenario.Job{}}
	for i, kind := range []struct {
		name  string
		sites [2]*scenario.Site
		vmac  bool
	}{
		{"one site", [2]*scenario.Site{g.a, g.a}, false},
		{"one site with use_vmac", [2]*scenario.Site{g.a, g.a}, true},
		{"two sites", [2]*scenario.Site{g.b, g.a}, false},
		{"two sites with use_vmac", [2]*scenario.Site{g.b, g.a}, true},
	} {
		one := &pair{name: kind.name, sites: kind.sites, vmac: kind.vmac, number: i + 1}
		for j := range one.routers {
			one.routers[j] = fmt.Sprintf("router-%d-%d", one.number, j+1)
		}
		p.pairs = append(p.pairs, one)
	}
	g.pairs = p
	p.watch(t)
	for _, one := range p.pairs {
		t.Run(one.name, func(t *testing.T) {
			t.Parallel()
			p.moves(t, one)
		})
	}
}

// moves goes through what happens to a pair while all sites live.
func (p *guardedPairs) moves(t *testing.T, one *pair) {
	defer p.tellLogs(t, one)
	began := time.Now()
	var group errgroup.Group
	for i := range one.routers {
		group.Go(func() error { return p.startRouter(scenario.Within(t, time.Minute), one, i) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	p.answers(t, one, 0, began, "at the start")

	began = time.Now()
	p.priority(t, one, -150)
	p.answers(t, one, 1, began, "by priority")

	began = time.Now()
	scenario.Docker(t, one.sites[1], "kill", one.routers[1])
	p.answers(t, one, 0, began, "by docker kill")

	p.priority(t, one, 0)
	scenario.Docker(t, one.sites[1], "start", one.routers[1])
	p.orphan(t, one)
}

// orphan ends keepalived alone: its container goes on answering, and keeps the addresses
// from the other one, which takes itself for the master. Both are named.
func (p *guardedPairs) orphan(t *testing.T, one *pair) {
	t.Helper()
	scenario.UntilContext(t, 10*time.Second, func(ctx context.Context) error { // the other one must know that it is the second
		_, err := p.said(ctx, one, 1, time.Time{}, "Entering BACKUP STATE")
		return err
	})
	killed := time.Now()
	scenario.Exec(t, one.sites[0], one.routers[0], "pkill", "-KILL", "keepalived")
	for _, address := range one.both() {
		at := p.announced(t, one, 1, killed, address)
		t.Logf("%s: %s is announced by the second one %v after the end of keepalived", one.name, address, at.Sub(killed).Round(time.Millisecond))
	}
	holds, _ := scenario.Addresses(t, one.sites[0], one.routers[0], vips.Name)
	wants, _ := scenario.Addresses(t, one.sites[1], one.routers[1], vips.Name)
	n, err := one.sites[1].NetworkStatus(scenario.Within(t, 10*time.Second), vips.Name)
	if err != nil {
		t.Fatal(err)
	}
	mac := "" // of the one that is refused
	for _, e := range n.Endpoints {
		if slices.ContainsFunc(e.Addresses, func(a string) bool { return a == wants || strings.HasPrefix(a, wants+"/") }) {
			mac = e.MAC
		}
	}
	for _, address := range one.both() {
		scenario.Until(t, 20*time.Second, func() error {
			said, _ := scenario.AskStatus(t, one.sites[1], filepath.Join(testbed.SharedDir, "evio"), "status")
			for line := range strings.SplitSeq(said, "\n") {
				if strings.HasPrefix(strings.TrimSpace(line), mac+" ") && strings.Contains(line, address) && strings.Contains(line, "held") && strings.Contains(line, holds) {
					return nil
				}
			}
			return fmt.Errorf("evio status at site %s does not tell of %s at %s, which %s at %s wants: %s", one.sites[1].Name(), address, holds, wants, mac, said)
		})
		for _, s := range p.Sites {
			all, err := replies(p.askers[s])
			if err != nil {
				t.Fatal(err)
			}
			if last, err := holder(all, address); err != nil || last.Name != one.routers[0] {
				t.Errorf("site %s hears %+v, %v for %s, want %s, which lives", s.Name(), last, err, address, one.routers[0])
			}
			for _, h := range all {
				if h.Address == address && h.at().After(killed) && (h.Name != one.routers[0] || h.Silent > 3000) { // under load an answer may be late
					t.Errorf("site %s: %s answered %s after %d ms", s.Name(), h.Name, address, h.Silent)
				}
			}
		}
	}
	// The container that has no keepalived any more gives them free with its end.
	began := time.Now()
	scenario.Docker(t, one.sites[0], "kill", one.routers[0])
	p.heard(t, one, began, "by the end of the one without keepalived", p.Sites, answeredAfter+time.Since(began))
	scenario.Docker(t, one.sites[0], "start", one.routers[0])
	p.answers(t, one, 0, time.Now(), "to the first again")
}

// powerOff ends site b. What its containers had moves to the others.
func (g *guarded) powerOff(t *testing.T) {
	p := g.pairs
	if p == nil {
		t.Fatal("there are no pairs")
	}
	began := time.Now()
	if err := g.b.LosePower(scenario.Within(t, 30*time.Second)); err != nil {
		t.Fatal(err)
	}
	for _, one := range p.pairs {
		if one.sites[0] == g.b {
			for _, address := range one.both() { // the end of a site takes a while, so what counts is the silence
				p.hears(t, one, 1, address, began, time.Time{}, "by power-off", []*scenario.Site{g.a, g.c}, poweredOff)
			}
		}
	}
}
