//go:build e2e

package hostile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"evio/integration/scenario"
)

// How long a move takes on a machine that has nothing else to do: from the announcement to an
// answer at every site 1 s, and from the end of a site to that 7 s; keepalived itself needs 3.2 to
// 3.6 s of these. The bounds are three times that; the log has what was measured.
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

// guardedPairs are the pairs in use, with the container that asks for their addresses at each site.
type guardedPairs struct {
	*guarded
	pairs  []*pair
	askers map[*scenario.Site]scenario.Job
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
		var first reply
		err := scenario.Await(scenario.Within(t, 3*bound+10*time.Second), func() error {
			all, err := replies(p.askers[s])
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
	var text strings.Builder
	text.WriteString(`
global_defs {
  router_id ` + p.routers[which] + `
  vrrp_version 3
}
track_file by {
  file /etc/router/by
  weight 1
}
`)
	for i, address := range p.both() {
		vmac := ""
		if p.vmac {
			vmac = "use_vmac"
		}
		fmt.Fprintf(&text, `
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
	return text.String()
}
