//go:build component

package network

import (
	"context"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"evio/datapath/netdev"
	"evio/driver/network/device"
)

// answers reports whether a container reaches another one soon.
func (b *box) answers(to *box) bool {
	return exec.Command("ip", "netns", "exec", b.ns, "ping", "-c", "1", "-W", "0.2", to.addr4().String()).Run() == nil
}

// within waits until a container reaches the others, and says how long that took.
func within(t *testing.T, what string, limit time.Duration, began time.Time, one *box, others ...*box) {
	t.Helper()
	for _, other := range others {
		eventually(t, one.ns+" reaches "+other.ns, func() bool { return one.answers(other) })
		took := time.Since(began)
		t.Logf("%s: %s reaches %s after %v", what, one.ns, other.ns, took.Round(time.Millisecond))
		if took > limit {
			t.Errorf("%s: more than %v", what, limit)
		}
	}
}

// recovers does something that interrupts a switch and waits for local forwarding and
// for the link.
func recovers(t *testing.T, what string, do func(), one, local, far *box) {
	t.Helper()
	began := time.Now()
	do()
	within(t, what, 5*time.Second, began, one, local, far)
}

// nothingStale looks for ports, TAPs and flows that should not be there, and for those
// that are missing.
func nothingStale(t *testing.T, engines ...*rig) {
	t.Helper()
	for _, r := range engines {
		n := r.network()
		eventually(t, r.name+"'s bridge is as it should be", func() bool {
			found, err := n.sw.Inspect(t.Context())
			return err == nil && len(found.Drifted) == 0 && n.switched.wait(t.Context()) == nil
		})
		used := n.devices()
		delete(used, n.bridge)
		for name := range used {
			if !slices.Contains(r.ports(), name) {
				t.Errorf("%s is missing on the bridge of %s: %v", name, r.name, r.ports())
			}
		}
		if got := r.ports(); len(got) != len(used) {
			t.Errorf("ports %v of %s, used are %v", got, r.name, used)
		}
		all, err := netdev.Devices()
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range all {
			of, ours := device.ReadMark(n.engine, d.Mark)
			if ours && of.Network == netID && d.Name != n.bridge && !used[d.Name] && !strings.Contains(d.Name, stray) {
				t.Errorf("device %s of %s is left", d.Name, r.name)
			}
		}
	}
}

// kill ends a program of the engine's own Open vSwitch.
func (r *rig) kill(programs ...string) {
	r.t.Helper()
	for _, program := range programs {
		b, err := os.ReadFile(filepath.Join(r.runDir, program+".pid"))
		if err != nil {
			r.t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			r.t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			r.t.Fatal(err)
		}
	}
}

// watchSwitch stands in for the watch of a host's Open vSwitch: the one that another rig
// runs has no control socket of the name that a host's has.
func (r *rig) watchSwitch(ctx context.Context) {
	n := r.network()
	for ctx.Err() == nil {
		if found, err := n.sw.Inspect(ctx); err == nil && found.Drifted[n.bridge] != nil {
			n.drift(found.Drifted[n.bridge])
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// TestOwnSwitchDies kills the programs of the plugin's own Open vSwitch, and takes its
// database away.
func TestOwnSwitchDies(t *testing.T) {
	a, b := pair(t)
	one, two, far := a.box(1), a.box(2), b.box(3)
	for _, c := range []*box{one, two, far} {
		c.attach()
	}
	within(t, "at first", 20*time.Second, time.Now(), one, two, far)
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() { b.watchSwitch(ctx) })
	defer watching.Wait()
	defer cancel()
	database := filepath.Join(a.runDir, "ovs.db")
	for _, what := range []struct {
		name string
		do   func()
	}{
		{"ovs-vswitchd", func() { a.kill("ovs-vswitchd") }},
		{"ovsdb-server", func() { a.kill("ovsdb-server") }},
		{"both", func() { a.kill("ovs-vswitchd", "ovsdb-server") }},
		{"deleted database", func() {
			if err := os.Remove(database); err != nil {
				t.Fatal(err)
			}
			a.kill("ovsdb-server")
		}},
		{"database cut in the middle", func() {
			info, err := os.Stat(database)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(database, info.Size()/2); err != nil {
				t.Fatal(err)
			}
			a.kill("ovsdb-server", "ovs-vswitchd")
		}},
	} {
		recovers(t, what.name, what.do, one, two, far)
		nothingStale(t, a)
	}
}

// TestDriftByHand changes what belongs to a running network and waits until the plane
// has put it right by itself. What belongs to nothing is removed meanwhile, and nothing
// else.
func TestDriftByHand(t *testing.T) {
	a, b := pair(t)
	one, two, far := a.box(1), a.box(2), b.box(3)
	for _, c := range []*box{one, two, far} {
		c.attach()
	}
	within(t, "at first", 20*time.Second, time.Now(), one, two, far)
	n := a.network()
	before := a.ports()
	link := func() string {
		n.links.mu.Lock()
		defer n.links.mu.Unlock()
		for _, l := range n.links.by {
			return l.dev.Name()
		}
		return ""
	}()

	stay, gone := strays(t, a)
	a.plane.Sweep(func() map[string][]string {
		return map[string][]string{netID: {one.spec.ID, two.spec.ID, "being-made"}, "waits": {"there"}}
	})
	const limit = 10 * time.Second
	for _, step := range []struct { // each takes a look of the plane at most
		name  string
		do    func()
		kinds []string
	}{
		{"TAP of the fabric", func() { run(t, "ip", "link", "del", n.fabric.Name()) }, []string{"device"}},
		{"TAP of a link", func() { run(t, "ip", "link", "del", link) }, []string{"device"}},
		{"port, flows, device and settings", func() {
			a.vsctl("del-port", a.bridge(), two.spec.HostIf, "--", "set", "Bridge", a.bridge(), "fail_mode=standalone")
			run(t, "ip", "link", "set", one.spec.HostIf, "down")
			run(t, "ovs-ofctl", "del-flows", "unix:"+a.runDir+"/"+a.bridge()+".mgmt")
		}, []string{"port", "flows", "device", "settings"}},
		{"bridge, and a TAP under another name", func() {
			run(t, "ip", "link", "set", link, "down", "name", "moved")
			a.vsctl("del-br", a.bridge())
		}, []string{"bridge", "device"}},
	} {
		counts := n.repairs.counts()
		began := time.Now()
		step.do()
		eventually(t, step.name+" is put right", func() bool {
			return !slices.ContainsFunc(step.kinds, func(k string) bool { return n.repairs.counts()[k] == counts[k] })
		})
		within(t, step.name, limit, began, one, two, far)
		for _, k := range step.kinds {
			if got := n.repairs.counts()[k]; got != counts[k]+1 {
				t.Errorf("%s: %d repairs of kind %s, %d before", step.name, got, k, counts[k])
			}
		}
		nothingStale(t, a)
	}
	if diff := cmp.Diff(before, a.ports()); diff != "" {
		t.Errorf("ports (-before +after):\n%s", diff)
	}
	if got := a.plane.Networks(t.Context())[0].Repairs; got["bridge"] != 1 || got["device"] != 4 {
		t.Errorf("repairs in the status: %v", got)
	}

	left := func() []string {
		all, err := netdev.Devices()
		if err != nil {
			t.Fatal(err)
		}
		return slices.AppendSeq(strings.Fields(a.vsctl("list-br")), maps.Keys(all))
	}
	eventually(t, "what nothing owned is gone", func() bool {
		all := left()
		return !slices.ContainsFunc(gone, func(name string) bool { return slices.Contains(all, name) })
	})
	for _, name := range stay {
		if !slices.Contains(left(), name) {
			t.Errorf("%s was removed", name)
		}
	}
	if info, err := a.plane.Switch(); err != nil || info.Swept != uint64(len(gone)) {
		t.Errorf("status %+v, %v, %d were to be removed", info, err, len(gone))
	}
}

// TestHostEndsAreSilent gives the host addresses on each kind of device of a network, as address
// configuration by itself does, and has the kernel make link-local ones. All go again, and traffic
// goes on.
func TestHostEndsAreSilent(t *testing.T) {
	a, b := pair(t)
	one, two, far := a.box(1), a.box(2), b.box(3)
	for _, c := range []*box{one, two, far} {
		c.attach()
	}
	within(t, "at first", 20*time.Second, time.Now(), one, two, far)
	n := a.network()
	n.links.mu.Lock()
	links := make([]string, 0, 1)
	for _, l := range n.links.by {
		links = append(links, l.dev.Name())
	}
	n.links.mu.Unlock()
	if len(links) != 1 {
		t.Fatalf("links %v", links)
	}
	kinds := map[string]string{"host end": one.spec.HostIf, "fabric": n.fabric.Name(), "link": links[0], "bridge": a.bridge()}
	addresses := func(name string) []netip.Prefix {
		all, err := netdev.HostAddresses()
		if err != nil {
			t.Fatal(err)
		}
		index, err := netdev.Index(name)
		if err != nil {
			t.Fatal(err)
		}
		return all[index]
	}
	before := n.repairs.counts()
	for kind, name := range kinds {
		if got := addresses(name); len(got) != 0 {
			t.Errorf("%s %s has %v from the start", kind, name, got)
		}
	}
	began := time.Now()
	for _, name := range kinds {
		run(t, "sysctl", "-q", "-w", "net.ipv6.conf."+name+".disable_ipv6=0", "net.ipv6.conf."+name+".accept_ra=2")
		run(t, "ip", "address", "add", "169.254.77.1/16", "dev", name)
		run(t, "ip", "address", "add", "fd00:77::1/64", "dev", name)
		run(t, "sysctl", "-q", "-w", "net.ipv6.conf."+name+".addr_gen_mode=0")
		if name == a.bridge() {
			run(t, "ip", "link", "set", name, "up")
		}
	}
	for kind, name := range kinds {
		eventually(t, kind+" has no address any more", func() bool { return len(addresses(name)) == 0 })
		t.Logf("%s %s: no address any more after %v", kind, name, time.Since(began).Round(time.Millisecond))
	}
	eventually(t, "the repairs are counted", func() bool { return n.repairs.counts()["address"] >= before["address"]+uint64(len(kinds)) })
	within(t, "afterwards", 20*time.Second, time.Now(), one, two, far)
	nothingStale(t, a)
	for kind, name := range kinds { // also when the device is set down and up, which makes the kernel begin anew
		run(t, "ip", "link", "set", name, "down")
		run(t, "ip", "link", "set", name, "up")
		if got := addresses(name); len(got) != 0 {
			t.Errorf("%s %s: %v", kind, name, got)
		}
	}
	nothingStale(t, a)
	if got := a.plane.Networks(t.Context())[0].Repairs["address"]; got < uint64(len(kinds)) {
		t.Errorf("repairs of addresses in the status: %d", got)
	}
}

// stray is in the names that strays gives.
const stray = "-"

// strays makes bridges and devices that a sweep leaves alone, and others that it removes.
func strays(t *testing.T, r *rig) (stay, gone []string) {
	t.Helper()
	engine := device.EngineID(r.key)
	veth := func(name, mark string) string {
		if err := netdev.CreateVeth(name, name+"c", testMTU, hw(0x50)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = netdev.Delete(name) })
		if err := device.SetMark(name, mark); err != nil {
			t.Fatal(err)
		}
		return name
	}
	bridge := func(name string, ids ...string) string {
		r.vsctl(append([]string{"add-br", name, "--", "set", "Bridge", name, "datapath_type=netdev"}, ids...)...)
		return name
	}
	stay = []string{
		veth("evh-foreign", ""),
		veth("evh-other", device.Mark("another", netID, device.ForEndpoint, "x")),
		veth("evh-made", device.Mark(engine, netID, device.ForEndpoint, "being-made")),
		veth("evh-waits", device.Mark(engine, "waits", device.ForEndpoint, "there")),
		bridge("theirs"),
		bridge("evb-other", "external_ids:evio=n", "external_ids:evio-engine=another"),
		bridge("evb-unknown", "external_ids:evio=n"),
		bridge("evb-waits", "external_ids:evio=waits", "external_ids:evio-engine="+engine),
	}
	gone = []string{
		veth("evh-left", device.Mark(engine, netID, device.ForEndpoint, "left")),
		veth("evf-left", device.Mark(engine, "removed")),
		veth("evb-tap", device.Mark(engine, "removed")),
		bridge("evb-left", "external_ids:evio=removed", "external_ids:evio-engine="+engine),
		bridge(device.Name(device.BridgePrefix, engine, "older"), "external_ids:evio=older"),
	}
	return stay, gone
}
