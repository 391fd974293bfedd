package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"evio/integration/scenario"
	"evio/integration/testbed"
)

// The application, as its user would write it.
//
//go:embed shop/docker-compose.yml
var shop embed.FS

// network is the network of the demonstration; page is what web says.
const (
	network = "blue"
	page    = "hello from site a"
)

// demo is one run. Its steps are called one after the other.
type demo struct {
	*screen
	lab      *testbed.Lab
	evio     *scenario.Deployment
	captures []capture
}

// services are what stands at the sites, in their order.
var services = []struct{ name, address string }{
	{"web", "10.9.1.80"}, {"counter", "10.9.2.80"}, {"client", "10.9.3.80"},
}

// run shows a command, runs it at a site and returns its output.
func (d *demo) run(ctx context.Context, s *scenario.Site, args ...string) (string, error) {
	d.Command(s.Name(), args...)
	return s.Run(ctx, args...)
}

// show is run, and shows the output too.
func (d *demo) show(ctx context.Context, s *scenario.Site, args ...string) error {
	out, err := d.run(ctx, s, args...)
	d.Result(out)
	return err
}

func (d *demo) startSites(ctx context.Context) error {
	d.Say(`Each site is a host of its own, in namespaces, with a real Docker engine behind a real NAT
that lets in only what answers. The servers on the internet carry no traffic of containers.`)
	if err := d.Task("the internet: an XMPP server and a STUN server", func() (err error) {
		d.lab, err = testbed.New(ctx, testbed.Options{})
		return err
	}); err != nil {
		return err
	}
	if err := d.Task("three sites with routers and engines", func() error {
		return errors.Join(
			d.lab.AddSites(ctx, testbed.SiteConfig{Name: "site-a"}, testbed.SiteConfig{Name: "site-b"}, testbed.SiteConfig{Name: "site-c"}),
			d.lab.StartEngines(ctx, testbed.EngineOptions{}))
	}); err != nil {
		return err
	}
	var drawn strings.Builder
	right := []string{"──┐", "──┼──  internet: " + d.lab.Internet().XMPP.StartTLSAddress() + ", STUN " + d.lab.Internet().TURN.Address(), "──┘"}
	for i, s := range d.lab.Sites() {
		fmt.Fprintf(&drawn, "%s  host %-14s ──  NAT %-14s %s\n", s.Name(), s.Addr(), s.Router.WAN(), right[i])
	}
	d.Say(drawn.String())
	site := d.lab.Sites()[0]
	d.Command(site.Name(), "docker", "version", "--format", "{{.Server.Version}}")
	out, err := site.Docker(ctx, "version", "--format", "{{.Server.Version}}")
	d.Result(out)
	return err
}

func (d *demo) deploy(ctx context.Context) error {
	d.Say(`Each site has an account at the XMPP server and the others in its roster; that is all they
know of each other.`)
	d.Command("each site", "docker", "plugin", "create", scenario.PluginName, bundle)
	d.Command("each site", "docker", "plugin", "enable", scenario.PluginName)
	if err := d.Task("at all three at once", func() (err error) {
		d.evio, err = scenario.Deploy(ctx, d.lab, bundle)
		return err
	}); err != nil {
		return err
	}
	d.print("\n")
	a := d.evio.Sites[0]
	if err := d.show(ctx, a, "jq", "{signalling, stun}", "/etc/evio/config.json"); err != nil {
		return err
	}
	return d.show(ctx, a, "docker", "plugin", "ls", "--format", "{{.Name}}  {{.Description}}  enabled: {{.Enabled}}")
}

func (d *demo) createNetwork(ctx context.Context) error {
	d.Say(`The same network at each site. Each engine hands out addresses by itself, so each gets a
range of its own. From here on everything on the sites' internet links is recorded.`)
	if err := d.capture(ctx); err != nil {
		return err
	}
	for i, s := range d.evio.Sites {
		if _, err := d.run(ctx, s, "docker", "network", "create", "-d", "evio",
			"--subnet", "10.9.0.0/16", "--ip-range", fmt.Sprintf("10.9.%d.0/24", i+1), network); err != nil {
			return err
		}
	}
	return d.Task("every site has a session with both others", func() error { return d.evio.WaitSessions(ctx, network) })
}

func (d *demo) startShop(ctx context.Context) error {
	dir := filepath.Join(d.lab.Dir(), "shop")
	if err := writeShop(dir); err != nil {
		return err
	}
	text, err := fs.ReadFile(shop, "shop/docker-compose.yml")
	if err != nil {
		return err
	}
	d.Say("The application, integration/demo/shop/docker-compose.yml:")
	d.File(string(text))
	for i, s := range d.evio.Sites {
		d.Command(s.Name(), "docker-compose", "up", "-d", services[i].name)
		if _, err := s.Compose(ctx, dir, "up", "-d", services[i].name); err != nil {
			return err
		}
		out, err := s.Docker(ctx, "ps", "--format", "{{.Names}}: {{.Status}}", "--filter", "name="+services[i].name)
		if err != nil {
			return err
		}
		d.Result(out)
	}
	return d.captureClient(ctx)
}

// writeShop puts the application into a folder of this host.
func writeShop(dir string) error {
	files, err := fs.Sub(shop, "shop")
	if err != nil {
		return err
	}
	return os.CopyFS(dir, files)
}

func (d *demo) useShop(ctx context.Context) error {
	a, b, c := d.evio.Sites[0], d.evio.Sites[1], d.evio.Sites[2]
	d.Say("The client, behind its NAT, reaches the web service behind another one:")
	out, err := d.run(ctx, c, "docker", "exec", "client", "ping", "-c", "3", "-i", "0.2", "-W", "2", "web")
	if err != nil {
		return err
	}
	lines := strings.Split(out, "\n")
	d.Result(strings.Join(lines[max(0, len(lines)-2):], "\n"))
	if err := d.fetch(ctx, c, "docker", "exec", "client", "wget", "-q", "-O", "-", "http://web/"); err != nil {
		return err
	}
	d.Say("A published port works as ever, from the site's host:")
	if err := d.fetch(ctx, a, "curl", "--silent", "--show-error", "--max-time", "5", "http://127.0.0.1:8080/"); err != nil {
		return err
	}
	d.Say("After each visit the client broadcasts a datagram; at another site the counter gets each once:")
	sent := map[string]int{}
	if err := scenario.Await(ctx, func() error {
		out, err := c.Docker(ctx, "logs", "client")
		if sent = visits(out); err == nil && len(sent) < 4 {
			err = fmt.Errorf("the client has made %d visits: %s", len(sent), out)
		}
		return err
	}); err != nil {
		return err
	}
	if err := d.show(ctx, c, "docker", "logs", "--tail", "2", "client"); err != nil {
		return err
	}
	if err := scenario.Await(ctx, func() error {
		out, err := b.Docker(ctx, "logs", "counter")
		if err != nil {
			return err
		}
		return counted(sent, visits(out))
	}); err != nil {
		return err
	}
	return d.show(ctx, b, "docker", "logs", "--tail", "2", "counter")
}

// fetch runs a command that must answer with the page.
func (d *demo) fetch(ctx context.Context, s *scenario.Site, args ...string) error {
	out, err := d.run(ctx, s, args...)
	if err != nil {
		return err
	}
	d.Result(out)
	if out != page {
		return fmt.Errorf("%s answered %q, want %q", commandLine(args), out, page)
	}
	return nil
}

var visit = regexp.MustCompile(`(?m)^visit (\d+)`)

// visits counts how often each visit stands in a log, by its number.
func visits(log string) map[string]int {
	times := map[string]int{}
	for _, match := range visit.FindAllStringSubmatch(log, -1) {
		times[match[1]]++
	}
	return times
}

// counted checks that each visit that was made was received once.
func counted(made, received map[string]int) error {
	for number := range made {
		if times := received[number]; times != 1 {
			return fmt.Errorf("the counter got the broadcast of visit %s %d times", number, times)
		}
	}
	return nil
}

func (d *demo) showStatus(ctx context.Context) error {
	d.Say(`A path is direct when it ends at the other site's NAT. Types of candidates are ICE's: host is an
interface's address, srflx the one that STUN saw, prflx one that only the other end saw.`)
	const ask = `curl -s --unix-socket /run/evio/evio.sock http://evio/status | jq -r '.networks[].sessions[] |
            "\(.jid) \(.state), \(.path.local) \(.path.local_type) -> \(.path.remote) \(.path.remote_type)"'`
	for i, s := range d.evio.Sites {
		shown := ask
		if i > 0 {
			shown = "... the same"
		}
		d.prompt(s.Name(), shown)
		out, err := s.Script(ctx, ask)
		d.Result(out)
		if err != nil {
			return err
		}
	}
	return nil
}
