//go:build component

package network

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/vishvananda/netns"

	"evio/datapath/netdev"
	"evio/datapath/ovs"
	"evio/datapath/proof"
	"evio/datapath/session"
	"evio/datapath/tap"
	"evio/driver/network/device"
	"evio/driver/plane"
	"evio/overlay"
	"evio/overlay/member"
	"evio/overlay/overlaytest"
)

const (
	netID   = "0123456789abcdef0123456789abcdef"
	testMTU = 1400
)

// rig is one engine: a Plane with real Open vSwitch and real sessions, and
// signalling in memory.
type rig struct {
	t       *testing.T
	name    string
	key     ed25519.PrivateKey
	server  *overlaytest.Server
	state   string // of the book
	host    string // run directory of the Open vSwitch that it finds on the host
	runDir  string // of its own
	plane   *Plane
	account *overlaytest.Account
	secrets map[string]func() ([]proof.Secret, error)
	offload tap.Offloads // of links
	stop    func()       // ends the plugin, idempotent
}

// newRig starts an engine with an Open vSwitch of its own or, if host is given, with
// that engine's, because one machine has room for only one in user space.
func newRig(t *testing.T, server *overlaytest.Server, name string, n byte, host ...*rig) *rig {
	t.Helper()
	return newRigWith(t, server, name, n, nil, host...)
}

// newRigWith is newRig for an engine that has overlays' secrets.
func newRigWith(t *testing.T, server *overlaytest.Server, name string, n byte, secrets map[string]func() ([]proof.Secret, error), host ...*rig) *rig {
	t.Helper()
	r := makeRig(t, server, name, n)
	r.secrets = secrets
	for _, h := range host {
		r.host = h.runDir
		<-h.plane.ready
	}
	return r.run()
}

func makeRig(t *testing.T, server *overlaytest.Server, name string, n byte) *rig {
	t.Helper()
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = n
	dir, err := os.MkdirTemp("/run", "ev") //nolint:usetesting // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return &rig{t: t, name: name, key: ed25519.NewKeyFromSeed(seed), server: server, state: t.TempDir(), runDir: dir, offload: tap.AllOffloads}
}

// newRigOn starts an engine that uses the machine's Open vSwitch.
func newRigOn(t *testing.T, server *overlaytest.Server, name string, n byte, h *hostSwitch) *rig {
	t.Helper()
	r := makeRig(t, server, name, n)
	r.host = h.dir
	return r.run()
}

// run begins the first life of the plugin.
func (r *rig) run() *rig {
	t := r.t
	t.Helper()
	r.start()
	t.Cleanup(func() {
		r.stop()
		for _, name := range devices(t) { // containers' interfaces outlive the plugin
			if !strings.HasPrefix(name, "h"+r.name) {
				continue
			}
			if err := netdev.Delete(name); err != nil {
				t.Error(err)
			}
		}
	})
	return r
}

func (r *rig) jid() string { return r.name + "@example.net" }

// start begins a life of the plugin.
func (r *rig) start() {
	r.t.Helper()
	l := logrus.New()
	l.SetOutput(r.t.Output())
	log := logrus.NewEntry(l).WithField("engine", r.name)
	book, err := member.Open(member.Config{Dir: r.state, Key: r.key, Log: log})
	if err != nil {
		r.t.Fatal(err)
	}
	service, err := book.Service(r.jid(), map[string]string{member.AnyOverlay: "roster"})
	if err != nil {
		r.t.Fatal(err)
	}
	r.account = r.server.Connect(r.jid(), service)
	transport, err := session.Listen(session.Config{Key: r.key, IncludeLoopback: true, ExcludeInterface: device.OwnInterface, Offload: session.AllOffloads(), Log: log})
	if err != nil {
		r.t.Fatal(err)
	}
	r.plane = New(Config{Key: r.key, Book: book, Transport: transport, Secrets: r.secrets, Offload: r.offload, OVS: ovs.Config{HostRunDir: r.host, RunDir: r.runDir, Log: log}, Log: log})
	ctx, cancel := context.WithCancel(context.Background())
	plane, account, done := r.plane, r.account, make(chan struct{})
	go func() {
		defer close(done)
		if err := plane.Run(ctx); err != nil {
			log.WithError(err).Error("plane ended")
		}
	}()
	ended := false
	r.stop = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		<-done
		account.Close()
		if err := transport.Close(); err != nil {
			log.WithError(err).Error("transport closed")
		}
	}
}

func (r *rig) addNetwork(overlayName string) {
	r.t.Helper()
	r.addNetworkAs(netID, overlayName)
}

// restoreNetwork does what the driver does after a restart of the plugin.
func (r *rig) restoreNetwork(overlayName string, boxes ...*box) {
	r.t.Helper()
	var living []plane.EndpointSpec
	for _, b := range boxes {
		b.spec.Adopt = true
		living = append(living, b.spec)
	}
	r.addNetworkAs(netID, overlayName, living...)
}

func (r *rig) addNetworkAs(id, overlayName string, living ...plane.EndpointSpec) {
	r.t.Helper()
	r.addNetworkIn(plane.GuardClaim, id, overlayName, living...)
}

func (r *rig) addNetworkIn(guard, id, overlayName string, living ...plane.EndpointSpec) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	err := r.plane.AddNetwork(ctx, plane.NetworkSpec{
		ID: id, Overlay: overlayName, MTU: testMTU, Guard: guard,
		Subnets: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00::/64")},
		Adopt:   len(living) > 0, Endpoints: living,
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) network() *network {
	r.t.Helper()
	n, err := r.plane.network(netID)
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

// switchDir is the run directory of the Open vSwitch that the engine uses.
func (r *rig) switchDir() string {
	if r.host != "" {
		return r.host
	}
	return r.runDir
}

// vsctl asks the engine's Open vSwitch.
func (r *rig) vsctl(args ...string) string {
	r.t.Helper()
	return run(r.t, "ovs-vsctl", append([]string{"--db=unix:" + r.switchDir() + "/db.sock"}, args...)...)
}

// bridge returns the name of the network's bridge.
func (r *rig) bridge() string { return device.Name(device.BridgePrefix, device.EngineID(r.key), netID) }

// box is a container: an endpoint and a network namespace.
type box struct {
	rig  *rig
	spec plane.EndpointSpec
	ns   string
}

func hw(n byte) overlay.MAC { return overlay.MAC{0x02, 0xee, 0, 0, 0, n} }

// box describes container n with addresses 10.1.0.n and fd00::n.
func (r *rig) box(n byte) *box {
	id := fmt.Sprintf("%s%02x%s", r.name, n, strings.Repeat("0", 40))
	return &box{rig: r, ns: fmt.Sprintf("%s%d", r.name, n), spec: plane.EndpointSpec{
		NetworkID: netID, ID: id, MAC: hw(n),
		Addrs:  []netip.Addr{netip.AddrFrom4([4]byte{10, 1, 0, n}), netip.MustParseAddr(fmt.Sprintf("fd00::%x", n))},
		HostIf: fmt.Sprintf("h%s%d", r.name, n), ContainerIf: fmt.Sprintf("c%s%d", r.name, n),
	}}
}

// attach does what Docker does for a starting container.
func (b *box) attach() {
	b.rig.t.Helper()
	if err := b.join(); err != nil {
		b.rig.t.Fatal(err)
	}
	b.plug()
}

func (b *box) join() error {
	ctx, cancel := context.WithTimeout(b.rig.t.Context(), 20*time.Second)
	defer cancel()
	return b.rig.plane.AddEndpoint(ctx, b.spec)
}

func (b *box) leave() error {
	ctx, cancel := context.WithTimeout(b.rig.t.Context(), 20*time.Second)
	defer cancel()
	return b.rig.plane.RemoveEndpoint(ctx, b.spec.NetworkID, b.spec.ID)
}

// plug moves the container's end into its namespace and configures it.
func (b *box) plug() {
	t := b.rig.t
	t.Helper()
	if exec.Command("ip", "netns", "add", b.ns).Run() == nil {
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", b.ns).Run() })
	}
	run(t, "ip", "link", "set", b.spec.ContainerIf, "netns", b.ns, "name", "eth0")
	b.ip("link", "set", "lo", "up")
	for _, a := range b.spec.Addrs {
		if a.Is4() {
			b.ip("addr", "add", a.String()+"/16", "dev", "eth0")
		} else {
			b.ip("addr", "add", a.String()+"/64", "dev", "eth0", "nodad")
		}
	}
	b.ip("link", "set", "eth0", "up")
	if err := netdev.WaitCarrier(t.Context(), b.spec.HostIf); err != nil {
		t.Fatal(err)
	}
}

func (b *box) ip(args ...string) string {
	b.rig.t.Helper()
	return run(b.rig.t, "ip", append([]string{"-n", b.ns}, args...)...)
}

func (b *box) addr4() netip.Addr { return b.spec.Addrs[0] }
func (b *box) addr6() netip.Addr { return b.spec.Addrs[1] }

// pingOnce sends one echo request and waits for its answer.
func (b *box) pingOnce(to netip.Addr) error {
	out, err := exec.Command("ip", "netns", "exec", b.ns, "ping", "-c", "1", "-W", "3", to.String()).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ping %s from %s: %w\n%s", to, b.ns, err, out)
	}
	return nil
}

func mustPing(t *testing.T, from, to *box) {
	t.Helper()
	for _, a := range to.spec.Addrs {
		if err := from.pingOnce(a); err != nil {
			t.Error(err)
		}
	}
}

// enter runs fn on a thread in the namespace; sockets made there stay there.
func (b *box) enter(fn func() error) {
	b.rig.t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		ns, err := netns.GetFromName(b.ns)
		if err == nil {
			defer ns.Close() //nolint:errcheck // nothing to lose
			err = netns.Set(ns)
		}
		if err == nil {
			err = fn()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		b.rig.t.Fatal(err)
	}
}

// listen opens a TCP port of the container.
func (b *box) listen() net.Listener {
	var l net.Listener
	b.enter(func() (err error) {
		l, err = net.Listen("tcp", netip.AddrPortFrom(b.addr4(), 5001).String())
		return err
	})
	return l
}

// dial connects the container to an address.
func (b *box) dial(to string) net.Conn {
	var c net.Conn
	b.enter(func() (err error) {
		c, err = net.DialTimeout("tcp", to, 10*time.Second)
		return err
	})
	return c
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// eventually polls until ok, for what real processes do in their own time.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// devices lists network devices but loopback and those of the kernel's own.
func devices(t *testing.T) []string {
	t.Helper()
	all, err := netdev.Devices()
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(name string) bool {
		return !strings.HasPrefix(name, "ev") && !strings.HasPrefix(name, "h") && !strings.HasPrefix(name, "c")
	})
}

// ports lists the ports of the network's bridge.
func (r *rig) ports() []string {
	return strings.Fields(r.vsctl("list-ports", r.bridge()))
}
