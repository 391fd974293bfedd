// Package scenario deploys evio at the sites of a testbed, for the end-to-end
// tests and the demonstration: accounts, configuration files, the plugin, and
// networks with a range of addresses for each site. Functions that take a test are
// steps of end-to-end tests: they fail the test where the step fails, and undo at its
// end what they made.
package scenario

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"evio/driver/status"
	"evio/integration/testbed"
)

// PluginName is the local name under which the plugin is installed; users type
// "-d evio", which it serves as a v1 plugin.
const PluginName = "evionet"

// Deployment is a lab whose sites run evio, all in one roster group.
type Deployment struct {
	Lab      *testbed.Lab
	Sites    []*Site
	accounts []testbed.Account
}

// Site is a site that runs evio.
type Site struct {
	*testbed.Site
	Account testbed.Account
	lab     *testbed.Lab
	number  int // 1, 2, …: its place in address ranges
}

// Deploy is Prepare, and installs the plugin from the bundle (config.json and rootfs)
// at all sites at once.
func Deploy(ctx context.Context, lab *testbed.Lab, bundle string, change ...Change) (*Deployment, error) {
	d, err := Prepare(ctx, lab, change...)
	if err != nil {
		return nil, err
	}
	return d, d.each(ctx, func(ctx context.Context, s *Site) error {
		return s.InstallPlugin(ctx, PluginName, bundle, nil)
	})
}

// Standalone is Deploy without engines: evio runs as a process of each site's host.
func Standalone(ctx context.Context, lab *testbed.Lab, change ...Change) (*Deployment, error) {
	d, err := Prepare(ctx, lab, change...)
	if err != nil {
		return nil, err
	}
	return d, d.each(ctx, func(ctx context.Context, s *Site) error {
		return s.StartEvio(ctx, testbed.EvioOptions{})
	})
}

// Prepare gives every site an account and a configuration.
func Prepare(ctx context.Context, lab *testbed.Lab, change ...Change) (*Deployment, error) {
	d, err := enlist(ctx, lab)
	if err != nil {
		return nil, err
	}
	return d, d.each(ctx, func(ctx context.Context, s *Site) error { return s.Configure(ctx, lab, change...) })
}

// enlist gives every site an account, all of them in the roster group.
func enlist(ctx context.Context, lab *testbed.Lab) (*Deployment, error) {
	d := &Deployment{Lab: lab}
	for i, s := range lab.Sites() {
		account, err := lab.Internet().XMPP.AddAccount(ctx, s.Name(), "secret of "+s.Name())
		if err != nil {
			return nil, err
		}
		d.accounts = append(d.accounts, account)
		d.Sites = append(d.Sites, &Site{Site: s, Account: account, lab: lab, number: i + 1})
	}
	return d, lab.Internet().XMPP.SetGroup(ctx, d.accounts...)
}

// each runs f for all sites at once.
func (d *Deployment) each(ctx context.Context, f func(context.Context, *Site) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, s := range d.Sites {
		group.Go(func() error { return f(ctx, s) })
	}
	return group.Wait()
}

// Network is a Docker network of the same overlay at every site.
type Network struct {
	Name    string // of the Docker network and, by default, of the overlay
	Overlay string // option evio.overlay, empty: not given
	Net     int    // third byte of the subnet 10.NET… and of fd00:NET::
	Args    []string
}

// Create makes the network at every site: subnet 10.N.0.0/16, each site with a /24
// of its own, and the same with IPv6.
func (d *Deployment) Create(ctx context.Context, n Network) error {
	return d.each(ctx, func(ctx context.Context, s *Site) error { return s.Create(ctx, n) })
}

// Create makes the network at this site.
func (s *Site) Create(ctx context.Context, n Network) error {
	args := []string{"network", "create", "-d", "evio", "--ipv6"}
	args = append(args,
		"--subnet", fmt.Sprintf("10.%d.0.0/16", n.Net), "--ip-range", fmt.Sprintf("10.%d.%d.0/24", n.Net, s.number),
		"--gateway", fmt.Sprintf("10.%d.%d.254", n.Net, s.number),
		"--subnet", fmt.Sprintf("fd00:%d::/64", n.Net), "--ip-range", fmt.Sprintf("fd00:%d:0:0:%d::/80", n.Net, s.number),
		"--gateway", fmt.Sprintf("fd00:%d:0:0:%d::ffff", n.Net, s.number))
	if n.Overlay != "" {
		args = append(args, "-o", "evio.overlay="+n.Overlay)
	}
	args = append(args, n.Args...)
	if _, err := s.Docker(ctx, append(args, n.Name)...); err != nil {
		return fmt.Errorf("site %s: create network %s: %w", s.Name(), n.Name, err)
	}
	return nil
}

// Remove removes the network at every site.
func (d *Deployment) Remove(ctx context.Context, name string) error {
	return d.each(ctx, func(ctx context.Context, s *Site) error {
		_, err := s.Docker(ctx, "network", "rm", name)
		return err
	})
}

// Status returns the status document of the site's plugin.
func (s *Site) Status(ctx context.Context) (status.Document, error) {
	d, err := status.Fetch(ctx, s.EvioStatus())
	if err != nil {
		return status.Document{}, fmt.Errorf("site %s: %w", s.Name(), err)
	}
	return d, nil
}

// NetworkStatus returns the part of one network, by Docker's name, or where no engine
// has given one, the overlay's.
func (s *Site) NetworkStatus(ctx context.Context, name string) (status.Network, error) {
	d, err := s.Status(ctx)
	if err != nil {
		return status.Network{}, err
	}
	for _, n := range d.Networks {
		if n.Name == name || n.Name == "" && n.Overlay == name {
			return n, nil
		}
	}
	return status.Network{}, fmt.Errorf("site %s: the status document has no network %s", s.Name(), name)
}

// WaitSessions waits until every site has an established session with every other
// one in the named network.
func (d *Deployment) WaitSessions(ctx context.Context, network string) error {
	return d.each(ctx, func(ctx context.Context, s *Site) error {
		return Await(ctx, func() error {
			n, err := s.NetworkStatus(ctx, network)
			if err != nil {
				return err
			}
			if up := Established(n); up != len(d.Sites)-1 {
				return fmt.Errorf("site %s, network %s: %d of %d sessions are established", s.Name(), network, up, len(d.Sites)-1)
			}
			return nil
		})
	})
}

// Established counts the sessions of a network that serve.
func Established(n status.Network) int {
	up := 0
	for _, s := range n.Sessions {
		if s.State == "established" {
			up++
		}
	}
	return up
}

// Await repeats f until it succeeds; when the context ends first it returns f's
// last error, except those that its end caused.
func Await(ctx context.Context, f func() error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var err error
	for {
		last := f()
		if last == nil {
			return nil
		}
		if ctx.Err() == nil || err == nil {
			err = last // a failure because the time was over says nothing
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// RunContainer starts a container of the test image and returns its ID.
func (s *Site) RunContainer(ctx context.Context, name, network string, args ...string) error {
	all := append([]string{"run", "-d", "--init", "--cap-add", "NET_ADMIN", "--cap-add", "NET_RAW", "--name", name, "--hostname", name, "--network", network}, args...)
	if !strings.Contains(strings.Join(args, " "), testbed.Image) {
		all = append(all, testbed.Image)
	}
	if _, err := s.Docker(ctx, all...); err != nil {
		return fmt.Errorf("site %s: run %s: %w", s.Name(), name, err)
	}
	return nil
}

// Exec runs a command in a container.
func (s *Site) Exec(ctx context.Context, container string, args ...string) (string, error) {
	return s.Docker(ctx, append([]string{"exec", container}, args...)...)
}

// Addresses returns a container's IPv4 and IPv6 address in a network.
func (s *Site) Addresses(ctx context.Context, container, network string) (v4, v6 string, err error) {
	format := fmt.Sprintf("{{with index .NetworkSettings.Networks %q}}{{.IPAddress}} {{.GlobalIPv6Address}}{{end}}", network)
	out, err := s.Docker(ctx, "inspect", "--format", format, container)
	if err != nil {
		return "", "", err
	}
	fields := strings.Fields(out)
	if len(fields) != 2 {
		return "", "", fmt.Errorf("container %s has addresses %q in network %s, want two", container, out, network)
	}
	return fields[0], fields[1], nil
}
