//go:build e2e

package hostile

import (
	"context"
	"errors"
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

// How long a move takes on a machine that has nothing else to do: from the announcement to an
// answer at every site 1 s, and from the end of a site to that 7 s, of which keepalived
// itself needs 3.2 to 3.6 s. The bounds are three times that; the log has what it was.
const (
	answeredAfter = 3 * time.Second
	poweredOff    = 21 * time.Second
)

// pair is two containers with keepalived that share an IPv4 and an IPv6 address. Unless
// something happens, the first has them.
type pair struct {
	name    string
	vmac    bool
	number  int // of the VRRP routers, and in the addresses
	sites   [2]*scenario.Site
	routers [2]string // the names of the containers
}

// both are the addresses that move.
func (p *pair) both() []string {
	return []string{fmt.Sprintf("10.%d.200.%d", vips.Net, p.number), fmt.Sprintf("fd00:%d::200:%d", vips.Net, p.number)}
}

// guardedPairs are the pairs in use, with who asks for their addresses at each site.
type guardedPairs struct {
	*guarded
	pairs  []*pair
	askers map[*scenario.Site]scenario.Job
}

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

// watch has a container at every site ask for the addresses all the time.
func (p *guardedPairs) watch(t *testing.T) {
	t.Helper()
	var all []string
	for _, one := range p.pairs {
		all = append(all, one.both()...)
	}
	for _, s := range p.Sites {
		p.askers[s] = asking(t, p.start(t, s, scenario.ContainerName(s, vips), vips.Name), all...)
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

// tellLogs puts what keepalived said into the log of a test that failed.
func (p *guardedPairs) tellLogs(t *testing.T, one *pair) {
	if !t.Failed() {
		return
	}
	for i, s := range one.sites {
		log, err := s.Docker(context.WithoutCancel(t.Context()), "logs", "--timestamps", "--tail", "60", one.routers[i])
		t.Logf("log of %s, %v:\n%s", one.routers[i], err, log)
		if n, err := s.NetworkStatus(context.WithoutCancel(t.Context()), vips.Name); err == nil {
			t.Logf("drops at site %s: %v", s.Name(), n.Drops)
		}
	}
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
			all, err := hearings(p.askers[s])
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

// answers sees that a router of a pair has announced its addresses since a moment, and that
// it is heard at the sites soon after it.
func (p *guardedPairs) answers(t *testing.T, one *pair, which int, since time.Time, how string) {
	t.Helper()
	for _, address := range one.both() {
		at := p.announced(t, one, which, since, address)
		p.hears(t, one, which, address, since, at, how, p.Sites, answeredAfter)
	}
}

// heard is answers for the second router, with the bound counted from the moment itself.
func (p *guardedPairs) heard(t *testing.T, one *pair, since time.Time, how string, sites []*scenario.Site, bound time.Duration) {
	t.Helper()
	for _, address := range one.both() {
		p.hears(t, one, 1, address, since, since, how, sites, bound)
	}
}

// hears waits until each site has heard a router of the pair for the address. The bound
// counts from a moment; if that is zero, from the last answer before.
func (p *guardedPairs) hears(t *testing.T, one *pair, which int, address string, since, from time.Time, how string, sites []*scenario.Site, bound time.Duration) {
	t.Helper()
	for _, s := range sites {
		var first hearing
		err := scenario.Await(scenario.Within(t, 3*bound+10*time.Second), func() error {
			all, err := hearings(p.askers[s])
			if err != nil {
				return err
			}
			if last, err := holder(all, address); err != nil || last.Name != one.routers[which] {
				return errors.Join(err, fmt.Errorf("%s is at %q", address, last.Name))
			}
			i := len(all) - 1
			for ; i >= 0; i-- {
				if all[i].Address != address {
					continue
				}
				if all[i].Name != one.routers[which] || all[i].at().Before(since) {
					break
				}
				first = all[i]
			}
			return nil
		})
		if err != nil {
			t.Errorf("%s, %s: site %s: %v", one.name, how, s.Name(), err)
			continue
		}
		took := max(0, first.at().Sub(from))
		switch {
		case first.At == 0: // it has not been away
			took = 0
		case from.IsZero():
			took = time.Duration(first.Silent) * time.Millisecond
		}
		t.Logf("%s, %s: %s is heard at site %s after %v, silent for %d ms", one.name, how, address, s.Name(), took.Round(time.Millisecond), first.Silent)
		if took > bound {
			t.Errorf("%s, %s: %s is heard at site %s after %v, want at most %v", one.name, how, address, s.Name(), took, bound)
		}
	}
}

// announced waits until a router has announced an address after a moment, and returns when.
func (p *guardedPairs) announced(t *testing.T, one *pair, which int, since time.Time, address string) (at time.Time) {
	t.Helper()
	scenario.UntilContext(t, 30*time.Second, func(ctx context.Context) error {
		var err error
		at, err = p.said(ctx, one, which, since, "Sending ", "ratuitous ARP on", "for "+address)
		if strings.Contains(address, ":") {
			at, err = p.said(ctx, one, which, since, "Sending unsolicited Neighbour Advert on", "for "+address)
		}
		return err
	})
	return at
}

// said finds the first line of a router's log since a moment that has all texts.
func (p *guardedPairs) said(ctx context.Context, one *pair, which int, since time.Time, texts ...string) (time.Time, error) {
	log, err := one.sites[which].Docker(ctx, "logs", "--timestamps", one.routers[which])
	if err != nil {
		return time.Time{}, err
	}
	for line := range strings.Lines(log) {
		stamp, text, _ := strings.Cut(line, " ")
		at, err := time.Parse(time.RFC3339Nano, stamp)
		if err == nil && !at.Before(since) && !slices.ContainsFunc(texts, func(want string) bool { return !strings.Contains(text, want) }) {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("container %s has not said %q", one.routers[which], texts)
}

// priority makes the first router of a pair more or less important than it is.
func (p *guardedPairs) priority(t *testing.T, one *pair, by int) {
	t.Helper()
	scenario.Exec(t, one.sites[0], one.routers[0], "sh", "-c", fmt.Sprintf("echo %d >/etc/router/by", by))
}

// startRouter starts a container with keepalived, which may end alone. A terminal has it
// write lines at once, and the engine notes when.
func (p *guardedPairs) startRouter(ctx context.Context, one *pair, which int) error {
	s, container := one.sites[which], one.routers[which]
	folder := "/root/" + container
	if err := errors.Join(
		s.WriteFile(ctx, folder+"/keepalived.conf", []byte(one.configuration(which)), 0o600),
		s.WriteFile(ctx, folder+"/by", []byte("0\n"), 0o600),
	); err != nil {
		return err
	}
	command := "probe name-serve -name " + container + " >/dev/null & keepalived --dont-fork --log-console --log-detail --use-file /etc/router/keepalived.conf; exec sleep infinity"
	return s.RunContainer(ctx, container, vips.Name, withPrograms("-t", "-v", folder+":/etc/router", "-v", "/etc/keepalived:/etc/keepalived:ro",
		// With use_vmac it sets up its interfaces by writing to /proc/sys.
		"--security-opt", "systempaths=unconfined", "--", "sh", "-c", command)...)
}

// configuration is what people write, with one advertisement a second.
func (p *pair) configuration(which int) string {
	text := `
global_defs {
  router_id ` + p.routers[which] + `
  vrrp_version 3
}
track_file by {
  file /etc/router/by
  weight 1
}
`
	for i, address := range p.both() {
		vmac := ""
		if p.vmac {
			vmac = "use_vmac"
		}
		text += fmt.Sprintf(`
vrrp_instance family%d {
  state BACKUP
  interface eth0
  virtual_router_id %d
  priority %d
  advert_int 1
  %s
  track_file {
    by
  }
  virtual_ipaddress {
    %s/%d
  }
}
`, []int{4, 6}[i], 10*p.number+i, []int{200, 100}[which], vmac, address, []int{16, 64}[i])
	}
	return text
}
