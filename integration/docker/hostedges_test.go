//go:build e2e

package docker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"evio/integration/scenario"
	"evio/integration/testbed"
	"evio/plugin/config"
)

// joining is the time within which a site has its sessions once the host can resolve the
// names of the servers.
const joining = 20 * time.Second

const (
	deadServer = "nameserver 192.0.2.250\n" // nobody has this address
	impatient  = "options timeout:1 attempts:1\n"
	goodServer = "nameserver " + testbed.DNSAddress + "\n"
	noNames    = "127.0.0.1 localhost\n::1 localhost\n"
)

// TestHostEdges: site b boots before its network is there. The plugin starts with names that
// nobody resolves; the host's files are replaced later, as programs of hosts do it, and the
// site joins by itself.
func TestHostEdges(t *testing.T) {
	lab := testbed.Start(t, testbed.SiteConfig{Name: "a"}, testbed.SiteConfig{Name: "b"})
	d, err := scenario.Deploy(scenario.Within(t, time.Minute), lab, scenario.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	dns, err := lab.Internet().StartDNS(scenario.Within(t, 20*time.Second), testbed.ServerRecords()...)
	if err != nil {
		t.Fatal(err)
	}
	n := scenario.Network{Name: "edges", Overlay: "edges", Net: 58}
	scenario.StartOverlay(t, d, n)
	e := &edge{d: d, b: d.Sites[1], network: n}
	write := func(name, content string) func(context.Context) error {
		return func(ctx context.Context) error { return e.b.WriteFile(ctx, name, []byte(content), 0o644) }
	}

	t.Run("resolv.conf renamed over", func(t *testing.T) {
		e.boot(t, deadServer)
		e.mend(t, write("/etc/resolv.conf", goodServer))
	})
	t.Run("resolv.conf becomes a link to systemd-resolved", func(t *testing.T) {
		e.boot(t, deadServer+impatient)
		for _, target := range []string{"../run/systemd/resolve/stub-resolv.conf", "/run/systemd/resolve/resolv.conf"} {
			if _, err := e.b.Script(scenario.Within(t, 10*time.Second), "ln -s "+target+" /etc/new.conf\nmv -T /etc/new.conf /etc/resolv.conf"); err != nil {
				t.Fatal(err)
			}
			e.alone(t, "") // the target is not there yet
			e.mend(t, write("/run/systemd/resolve/"+target[strings.LastIndex(target, "/")+1:], goodServer))
			e.boot(t, deadServer+impatient)
		}
	})
	t.Run("hosts file renamed over", func(t *testing.T) {
		hosts, err := d.Sites[0].Run(scenario.Within(t, 10*time.Second), "cat", "/etc/hosts")
		if err != nil {
			t.Fatal(err)
		}
		e.boot(t, deadServer+impatient)
		e.mend(t, write("/etc/hosts", hosts))
	})
	t.Run("server by SRV records", func(t *testing.T) {
		if err := dns.Stop(scenario.Within(t, 10*time.Second)); err != nil {
			t.Fatal(err)
		}
		// The domain has no address. At the first host nobody listens.
		service := "srv-host=_xmpp-client._tcp." + testbed.XMPPDomain
		if _, err := lab.Internet().StartDNS(scenario.Within(t, 20*time.Second), append(testbed.ServerRecords()[1:],
			testbed.XMPPRecord("first.example"), testbed.XMPPRecord("chat.example"),
			service+",first.example,5299,0", service+",chat.example,5222,10")...); err != nil {
			t.Fatal(err)
		}
		if err := e.b.Configure(scenario.Within(t, 10*time.Second), lab, func(_ *scenario.Site, f *config.File) { f.Signalling[0].Server = "" }); err != nil {
			t.Fatal(err)
		}
		e.boot(t, deadServer+impatient)
		e.mend(t, write("/etc/resolv.conf", goodServer))
		doc, err := e.b.Status(scenario.Within(t, 10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if got := doc.Signalling[0].Server; got != "chat.example:5222" {
			t.Errorf("connected to %s, want the second host of the records", got)
		}
	})
}

// edge is the site that boots too early.
type edge struct {
	d       *scenario.Deployment
	b       *scenario.Site
	network scenario.Network
	pid     int // of the plugin
}

// boot starts the plugin with a resolv.conf that does not work and no names in the hosts file,
// and waits until it has failed.
func (e *edge) boot(t *testing.T, resolvConf string) {
	t.Helper()
	ctx := scenario.Within(t, 40*time.Second)
	_, err := e.b.Docker(ctx, "plugin", "disable", "-f", scenario.PluginName)
	if err == nil {
		err = errors.Join(e.b.WriteFile(ctx, "/etc/resolv.conf", []byte(resolvConf), 0o644), e.b.WriteFile(ctx, "/etc/hosts", []byte(noNames), 0o644))
	}
	if err == nil {
		_, err = e.b.Docker(ctx, "plugin", "enable", scenario.PluginName)
	}
	if err == nil {
		e.pid, err = e.b.PluginPID(ctx, scenario.PluginName)
	}
	if err != nil {
		t.Fatal(err)
	}
	e.alone(t, "192.0.2.250:53")
}

// alone waits until the site has failed once more, and the status says why: with the name
// and with the DNS server.
func (e *edge) alone(t *testing.T, server string) {
	t.Helper()
	first := uint64(0)
	scenario.Until(t, 40*time.Second, func() error {
		doc, err := e.b.Status(scenario.Within(t, 5*time.Second))
		if err != nil {
			return err
		}
		s := doc.Signalling[0]
		if first == 0 {
			first = s.Failures + 1
		}
		if s.Connected || s.Failures < first || !strings.Contains(s.LastError, testbed.XMPPDomain) || !strings.Contains(s.LastError, server) {
			return fmt.Errorf("connected %t, %d failures, last error %q", s.Connected, s.Failures, s.LastError)
		}
		n, err := e.b.NetworkStatus(scenario.Within(t, 5*time.Second), e.network.Name)
		if err != nil {
			return err
		}
		if up := scenario.Established(n); up > 0 || doc.Health.Healthy {
			return fmt.Errorf("%d sessions, healthy %t", up, doc.Health.Healthy)
		}
		t.Logf("alone: %s", s.LastError)
		return nil
	})
}

// mend does what gives the host its names back; the plugin that was started without them
// joins.
func (e *edge) mend(t *testing.T, do func(context.Context) error) {
	t.Helper()
	began := time.Now()
	if err := do(scenario.Within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := e.d.WaitSessions(scenario.Within(t, joining), e.network.Name); err != nil {
		t.Fatal(err)
	}
	t.Logf("sessions after %v", time.Since(began).Round(time.Millisecond))
	v4, v6 := scenario.Addresses(t, e.d.Sites[0], scenario.ContainerName(e.d.Sites[0], e.network), e.network.Name)
	for _, to := range []string{v4, v6} {
		scenario.Exec(t, e.b, scenario.ContainerName(e.b, e.network), "ping", "-c", "2", "-i", "0.2", "-W", "2", to)
	}
	pid, err := e.b.PluginPID(scenario.Within(t, 10*time.Second), scenario.PluginName)
	if err != nil {
		t.Fatal(err)
	}
	if pid != e.pid {
		t.Errorf("the plugin was started anew: process %d, now %d", e.pid, pid)
	}
}
