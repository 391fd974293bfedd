//go:build e2e

package hostile

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"evio/driver/status"
	"evio/integration/scenario"
	"evio/integration/testbed"
	"evio/plugin/config"
)

// TestLocalUser: what a user of the host can do to the plugin while it starts costs sessions
// as long as it lasts, and nothing else; nobody has to restart anything. What the plugin can
// reach of the host is what it uses.
func TestLocalUser(t *testing.T) {
	lab := testbed.Start(t, testbed.SiteConfig{Name: "a"}, testbed.SiteConfig{Name: "b"})
	d, err := scenario.Deploy(scenario.Within(t, time.Minute), lab, scenario.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	l := &localUser{scenario.Populate(t, d, scenario.Network{Name: "shared", Overlay: "shared", Net: 59})}
	t.Run("what is left to the plugin", l.reach)
	t.Run("no tun device", l.device)
	t.Run("port held by nobody", l.port)
	t.Run("socket destroyed", l.socket)
	t.Run("port that nobody may take", l.low)
	l.disk(t)
	for _, c := range []struct{ name, breaks, mends, advice string }{
		{"disk full", "head -c 1M /dev/zero >/var/lib/evio/ballast || :", "rm /var/lib/evio/ballast", "make room"},
		{"state folder read-only", "mount -o remount,ro /var/lib/evio", "mount -o remount,rw /var/lib/evio", "writable"},
	} {
		t.Run(c.name, func(t *testing.T) { l.stored(t, c.breaks, c.mends, c.advice) })
		t.Run(c.name+" at the first start", func(t *testing.T) { l.first(t, c.breaks, c.mends) })
	}
}

// device: the engine does not enable a plugin whose device is missing, and README has what it
// says then.
func (l *localUser) device(t *testing.T) {
	const said = `error gathering device information while adding custom device "/dev/net/tun": no such file or directory`
	l.restart(t, func() {
		l.script(t, "mv /dev/net/tun /dev/net/tun.away")
		_, err := l.A().Docker(scenario.Within(t, 20*time.Second), "plugin", "enable", scenario.PluginName)
		if err == nil || !strings.Contains(err.Error(), said) {
			t.Errorf("the engine says %v, want %q", err, said)
		}
		l.script(t, "mv /dev/net/tun.away /dev/net/tun")
	})
	readme, err := os.ReadFile(scenario.Repository("README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(strings.Fields(string(readme)), " "); !strings.Contains(text, said) {
		t.Errorf("README does not have %q", said)
	}
	l.remote(t, 2*returning)
}

// port: nobody's process has the UDP port, at one address, when the plugin starts.
func (l *localUser) port(t *testing.T) {
	port := fmt.Sprint(config.DefaultUDPPort)
	var holder *testbed.Process
	l.restart(t, func() {
		var err error
		holder, err = l.A().Start(scenario.Within(t, 10*time.Second), "holder", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
			"socat", "-u", "UDP4-RECV:"+port+",bind=127.0.0.1", "/dev/null")
		if err != nil {
			t.Fatal(err)
		}
		scenario.Until(t, 10*time.Second, func() error {
			if out := l.script(t, "ss -Haun 'sport = :"+port+"'"); !strings.Contains(out, port) {
				return errors.New("nobody does not have the port yet")
			}
			return nil
		})
	})
	l.local(t)
	doc := l.told(t, "UDP port "+port, "user ID 65534", "127.0.0.1:"+port, "udp_port", "ss -lunp")
	if doc.Transport.Error == "" || doc.Transport.Port != config.DefaultUDPPort {
		t.Errorf("transport %+v", doc.Transport)
	}
	other := scenario.Network{Name: "meanwhile", Net: 60}
	if err := l.A().Create(scenario.Within(t, 20*time.Second), other); err != nil {
		t.Error(err)
	} else {
		scenario.StartContainer(t, l.A(), "meanwhile", other.Name)
		scenario.Docker(t, l.A(), "rm", "-f", "meanwhile")
		scenario.Docker(t, l.A(), "network", "rm", other.Name)
	}
	<-time.After(returning) // as long as nobody has it
	n, err := l.A().NetworkStatus(scenario.Within(t, 10*time.Second), l.Network.Name)
	if err != nil || scenario.Established(n) > 0 {
		t.Errorf("%d sessions without a port, %v", scenario.Established(n), err)
	}
	if err := holder.Stop(scenario.Within(t, 10*time.Second), "TERM"); err != nil {
		t.Logf("nobody ended: %v", err)
	}
	l.remote(t, returning)
	scenario.Until(t, 10*time.Second, func() error {
		if faults := scenario.Document(t, l.A()).Faults; len(faults) > 0 {
			return fmt.Errorf("faults %q", faults)
		}
		return nil
	})
}

// socket: the kernel ends the plugin's socket with an error that no datagram has. The port
// stays, and so do the sessions.
func (l *localUser) socket(t *testing.T) {
	session := func() status.Session {
		n, err := l.A().NetworkStatus(scenario.Within(t, 10*time.Second), l.Network.Name)
		if err != nil || len(n.Sessions) != 1 {
			t.Fatalf("%d sessions, %v", len(n.Sessions), err)
		}
		return n.Sessions[0]
	}
	inode := func() string {
		return l.script(t, fmt.Sprintf("ss -Haune 'sport = :%d' | grep -o 'ino:[0-9]*'", config.DefaultUDPPort))
	}
	before, old := session(), inode()
	l.script(t, fmt.Sprintf("ss -Kaun 'sport = :%d'", config.DefaultUDPPort))
	scenario.Until(t, patient*returning, func() error {
		if now, err := l.A().Script(scenario.Within(t, 5*time.Second), fmt.Sprintf("ss -Haune 'sport = :%d' | grep -o 'ino:[0-9]*'", config.DefaultUDPPort)); err != nil || now == old || now == "" {
			return fmt.Errorf("socket %s, before it was destroyed %s: %w", now, old, err)
		}
		return nil
	})
	l.remote(t, returning)
	<-time.After(4 * time.Second) // a peer that hears nothing ends a session after 3 s
	if now := session(); !now.Opened.Equal(before.Opened) || now.State != before.State {
		t.Errorf("the session of %v, %s, is one of %v, %s", before.Opened, before.State, now.Opened, now.State)
	}
}

// low: a port below 1024 is one that users cannot take, and the plugin can.
func (l *localUser) low(t *testing.T) {
	const port = 790
	set := func(p int) {
		if err := l.A().Configure(scenario.Within(t, 10*time.Second), l.Deployment.Lab, func(_ *scenario.Site, f *config.File) { f.UDPPort = p }); err != nil {
			t.Fatal(err)
		}
	}
	l.restart(t, func() {
		set(port)
		out, err := l.A().Run(scenario.Within(t, 10*time.Second), "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
			"timeout", "2", "socat", "-u", fmt.Sprintf("UDP4-RECV:%d,bind=127.0.0.1", port), "/dev/null")
		if err == nil || !strings.Contains(err.Error(), "Permission denied") {
			t.Errorf("nobody can take port %d: %s, %v", port, out, err)
		}
	})
	l.remote(t, 2*returning)
	if now := scenario.Document(t, l.A()).Transport.Port; now != port {
		t.Errorf("port %d, want %d", now, port)
	}
	l.restart(t, func() { set(config.DefaultUDPPort) })
	l.remote(t, 2*returning)
}

// disk gives the state folder a small file system of its own, with what was in it.
func (l *localUser) disk(t *testing.T) {
	t.Helper()
	l.restart(t, func() {
		l.script(t, `
cp -a /var/lib/evio /var/lib/evio.kept
mount -t tmpfs -o size=512k,mode=0700 tmpfs /var/lib/evio
cp -a /var/lib/evio.kept/. /var/lib/evio/`)
	})
	l.remote(t, returning)
}

// stored: what the engine had before runs with such a disk; what is to be stored is refused,
// until the disk takes it.
func (l *localUser) stored(t *testing.T, breaks, mends, advice string) {
	pid := l.restart(t, func() { l.script(t, breaks) })
	l.local(t)
	l.remote(t, 2*returning) // from the start
	other := scenario.Network{Name: "stored", Net: 61}
	if err := l.A().Create(scenario.Within(t, 20*time.Second), other); err == nil || !strings.Contains(err.Error(), advice) {
		t.Errorf("a network that cannot be stored: %v, want advice to %q", err, advice)
	}
	l.script(t, mends)
	scenario.Until(t, patient*returning, func() error { return l.A().Create(scenario.Within(t, 20*time.Second), other) })
	scenario.Docker(t, l.A(), "network", "rm", other.Name)
	if now := l.pid(t); now != pid {
		t.Errorf("the plugin was started anew: process %d, now %d", pid, now)
	}
}

// first: there is nothing in the state folder, and nothing can be. When it can, the plugin
// works without having been started anew.
func (l *localUser) first(t *testing.T, breaks, mends string) {
	pid := l.restart(t, func() { l.script(t, "rm -rf /var/lib/evio/*\n"+breaks) })
	l.told(t, "/var/lib/evio", "tried again every 2 s")
	l.script(t, mends)
	other := scenario.Network{Name: "first", Net: 62}
	began := time.Now()
	scenario.Until(t, patient*returning, func() error { return l.A().Create(scenario.Within(t, 20*time.Second), other) })
	t.Logf("the first network is made %v after it was mended", time.Since(began).Round(time.Millisecond))
	scenario.Docker(t, l.A(), "network", "rm", other.Name)
	if now := l.pid(t); now != pid {
		t.Errorf("the plugin was started anew: process %d, now %d", pid, now)
	}
	l.restart(t, func() { l.script(t, "rm -rf /var/lib/evio/*\ncp -a /var/lib/evio.kept/. /var/lib/evio/") })
	l.remote(t, 2*returning)
}

// needed are the capabilities of the plugin, and of all that it runs.
var needed = []string{"CAP_BPF", "CAP_DAC_OVERRIDE", "CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW"}

// neededBits are the same as the kernel writes them.
const neededBits = "0000008000003402"

// reach compares what the kernel says of the plugin's mounts and capabilities with what they
// may be, and the status with both.
func (l *localUser) reach(t *testing.T) {
	pid := l.pid(t)
	read := func(file string) []string {
		return strings.Split(l.script(t, fmt.Sprintf("cat /proc/%d/%s", pid, file)), "\n")
	}
	allowed := map[string]string{
		"/host": "ro", "/host/etc": "ro", "/host/run": "ro", "/host/run/docker/netns": "ro",
		"/host/run/docker/plugins": "rw", "/host/run/evio": "rw", "/host/var/lib/evio": "rw",
	}
	found := map[string]string{}
	namespaces := 0
	for _, line := range read("mountinfo") {
		before, after, _ := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		root, point, mode, kind := fields[3], fields[4], fields[5][:2], strings.Fields(after)[0]
		switch {
		case !strings.HasPrefix(point, "/host"):
			engines := []string{"/proc", "/dev", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/run/docker/plugins"}
			if point != "/" && !slices.ContainsFunc(engines, func(e string) bool { return point == e || strings.HasPrefix(point, e+"/") }) {
				t.Errorf("the plugin has %s", line)
			}
		case kind == "nsfs" && strings.HasPrefix(point, "/host/run/docker/netns/"):
			namespaces++
		case strings.HasPrefix(root, "/.hidden/") && mode == "ro":
		default:
			found[point] = mode
		}
	}
	if diff := cmp.Diff(allowed, found); diff != "" {
		t.Errorf("folders of the host (- may be, + are): %s", diff)
	}
	if namespaces == 0 {
		t.Error("it does not see the containers' network namespaces")
	}
	for _, hidden := range []string{"/etc/shadow", "/etc/gshadow"} {
		if text := l.script(t, "cat "+hidden); text == "" {
			t.Fatalf("the host has no %s: the check sees nothing", hidden)
		}
		if text := l.script(t, fmt.Sprintf("cat /proc/%d/root/host%s", pid, hidden)); text != "" {
			t.Errorf("it can read %s", hidden)
		}
	}
	processes := 0
	for line := range strings.SplitSeq(l.script(t, `for p in $(pgrep -x 'evio|ovsdb-server|ovs-vswitchd'); do
  grep -H '^Cap' /proc/$p/task/*/status | sed 's,.*/status:,,' | sort -u
done`), "\n") {
		name, bits, _ := strings.Cut(line, ":")
		bits = strings.TrimSpace(bits)
		switch name {
		case "CapBnd", "CapPrm", "CapEff":
			if processes++; bits != neededBits {
				t.Errorf("%s of a process of the plugin is %s, may be %s", name, bits, neededBits)
			}
		default:
			if bits != strings.Repeat("0", len(neededBits)) {
				t.Errorf("%s of a process of the plugin is %s", name, bits)
			}
		}
	}
	if processes < 3*3 {
		t.Errorf("%d sets of capabilities, want those of evio, ovsdb-server and ovs-vswitchd", processes)
	}

	doc, err := l.A().Status(scenario.Within(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	r := doc.Reach
	if diff := cmp.Diff(needed, r.Capabilities); diff != "" || !r.Confined {
		t.Errorf("confined %t, capabilities: %s", r.Confined, diff)
	}
	told := map[string]string{"/host": "ro"}
	for _, f := range r.Folders {
		told["/host"+f.Path] = map[bool]string{false: "ro", true: "rw"}[f.Writable]
	}
	if diff := cmp.Diff(found, told); diff != "" {
		t.Errorf("folders (- of the kernel, + of the status): %s", diff)
	}
	if !slices.Contains(r.Hidden, "/etc/shadow") || r.Namespaces != namespaces {
		t.Errorf("hidden %q, %d namespaces of %d", r.Hidden, r.Namespaces, namespaces)
	}
	for _, e := range doc.LastErrors {
		if strings.Contains(e.Text, "not set up as they should be") {
			t.Errorf("a capability is missing: %s", e.Text)
		}
	}
	said := l.script(t, fmt.Sprintf("/proc/%d/root/usr/bin/evio status || [ $? -eq 3 ]", pid)) // losses of the start may still stand
	for _, want := range []string{"capabilities: CAP_BPF, CAP_DAC_OVERRIDE", "/var/lib/evio", "to read: /etc, /run", "/etc/shadow"} {
		if !strings.Contains(said, want) {
			t.Errorf("evio status does not say %q: %s", want, said)
		}
	}
}
