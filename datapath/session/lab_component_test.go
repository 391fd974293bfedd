//go:build component

package session

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/pion/webrtc/v4"
	"github.com/sirupsen/logrus"
	"github.com/vishvananda/netns"

	"evio/datapath/icemux"
	"evio/datapath/udp"
)

// lab is two sites behind routers and an internet between them that holds a
// STUN server:
//
//	alice 10.1.0.2 ─ ralice 198.51.100.2 ─ internet ─ 203.0.113.2 rbob ─ 10.2.0.2 bob
type lab struct {
	t *testing.T
}

const stunServer = "198.51.100.1:3478"

// newLab makes the namespaces; they end with the test.
func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t}
	for _, ns := range []string{"internet", "ralice", "rbob", "alice", "bob"} {
		l.run("ip", "netns", "add", ns)
		t.Cleanup(func() { l.run("ip", "netns", "del", ns) })
		l.run("ip", "-n", ns, "link", "set", "lo", "up")
	}
	l.wire("internet", "wana", "198.51.100.1/24", "ralice", "wan", "198.51.100.2/24")
	l.wire("internet", "wanb", "203.0.113.1/24", "rbob", "wan", "203.0.113.2/24")
	l.wire("ralice", "lan", "10.1.0.1/24", "alice", "eth0", "10.1.0.2/24")
	l.wire("rbob", "lan", "10.2.0.1/24", "bob", "eth0", "10.2.0.2/24")
	l.run("ip", "-n", "ralice", "route", "add", "default", "via", "198.51.100.1")
	l.run("ip", "-n", "rbob", "route", "add", "default", "via", "203.0.113.1")
	l.run("ip", "-n", "alice", "route", "add", "default", "via", "10.1.0.1")
	l.run("ip", "-n", "bob", "route", "add", "default", "via", "10.2.0.1")
	for _, ns := range []string{"internet", "ralice", "rbob"} {
		l.in(ns, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
	}
	// Without it private candidates would be answered by ICMP errors, which
	// the real internet does not send either.
	l.run("ip", "-n", "internet", "route", "add", "default", "via", "198.51.100.254")
	return l
}

// translate makes a site's router a port-restricted NAT.
func (l *lab) translate(router string) {
	l.in(router, "iptables", "-t", "nat", "-A", "POSTROUTING", "-o", "wan", "-j", "MASQUERADE")
	l.in(router, "iptables", "-A", "INPUT", "-i", "wan", "-j", "DROP")
}

// number gives the sites IPv6 addresses that are routed, behind stateful filters.
func (l *lab) number() {
	for _, a := range [][3]string{
		{"internet", "wana", "2001:db8:a0::1/64"}, {"ralice", "wan", "2001:db8:a0::2/64"},
		{"internet", "wanb", "2001:db8:b0::1/64"}, {"rbob", "wan", "2001:db8:b0::2/64"},
		{"ralice", "lan", "2001:db8:a1::1/64"}, {"alice", "eth0", "2001:db8:a1::2/64"},
		{"rbob", "lan", "2001:db8:b1::1/64"}, {"bob", "eth0", "2001:db8:b1::2/64"},
	} {
		l.run("ip", "-n", a[0], "addr", "add", a[2], "dev", a[1], "nodad")
	}
	l.run("ip", "-n", "alice", "route", "add", "default", "via", "2001:db8:a1::1")
	l.run("ip", "-n", "bob", "route", "add", "default", "via", "2001:db8:b1::1")
	l.run("ip", "-n", "ralice", "route", "add", "default", "via", "2001:db8:a0::1")
	l.run("ip", "-n", "rbob", "route", "add", "default", "via", "2001:db8:b0::1")
	l.run("ip", "-n", "internet", "route", "add", "2001:db8:a1::/64", "via", "2001:db8:a0::2")
	l.run("ip", "-n", "internet", "route", "add", "2001:db8:b1::/64", "via", "2001:db8:b0::2")
	for _, router := range []string{"ralice", "rbob"} {
		l.in(router, "ip6tables", "-A", "FORWARD", "-i", "wan", "-m", "conntrack", "--ctstate", "NEW,INVALID", "-j", "DROP")
	}
}

// cut drops everything that crosses a site's router.
func (l *lab) cut(router string) {
	l.in(router, "iptables", "-I", "FORWARD", "-j", "DROP")
	l.in(router, "ip6tables", "-I", "FORWARD", "-j", "DROP")
}

func (l *lab) wire(ns1, if1, addr1, ns2, if2, addr2 string) {
	l.run("ip", "-n", ns1, "link", "add", if1, "type", "veth", "peer", "name", if2, "netns", ns2)
	for _, e := range [][3]string{{ns1, if1, addr1}, {ns2, if2, addr2}} {
		l.run("ip", "-n", e[0], "addr", "add", e[2], "dev", e[1])
		l.run("ip", "-n", e[0], "link", "set", e[1], "up")
	}
}

func (l *lab) in(ns string, argv ...string) {
	l.t.Helper()
	l.run(append([]string{"ip", "netns", "exec", ns}, argv...)...)
}

func (l *lab) run(argv ...string) {
	l.t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		l.t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
}

// start runs a program in a namespace until the test ends or stop is called,
// and waits for a line of its output.
func (l *lab) start(ns, ready string, argv ...string) (stop func()) {
	l.t.Helper()
	out := filepath.Join(l.t.TempDir(), "out")
	file, err := os.Create(out)
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", ns}, argv...)...)
	cmd.Stdout, cmd.Stderr = file, file
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			_ = cmd.Wait() // ended by our signal
			_ = file.Close()
		}
	}
	l.t.Cleanup(stop)
	until(l.t, argv[0]+" is ready", func() bool {
		text, err := os.ReadFile(out)
		return err == nil && strings.Contains(string(text), ready)
	})
	return stop
}

// until polls for what another process does.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patience)
	for !done() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// serveSTUN starts coturn on the internet.
func (l *lab) serveSTUN() {
	l.t.Helper()
	l.start("internet", "IPv4. UDP listener opened", "turnserver", "-n", "--stun-only", "--no-cli", "--no-tls", "--no-dtls", "-v",
		"--listening-ip=198.51.100.1", "--listening-port=3478", "--log-file=stdout",
		"--pidfile", filepath.Join(l.t.TempDir(), "turnserver.pid"))
}

// site starts a transport in a namespace.
func (l *lab) site(ns string) *end {
	l.t.Helper()
	key := newKey(l.t)
	var transport *Transport
	err := enter(ns, func() error {
		config := Config{Key: key, ICEServers: []webrtc.ICEServer{{URLs: []string{"stun:" + stunServer}}}, Log: labLog(l.t)}
		s, err := udp.New(0, udp.Offload{Send: true, Receive: true})
		if err != nil {
			return err
		}
		if err := s.Open(); err != nil {
			return err
		}
		transport, err = newTransport(config, s, func(filter icemux.HostFilter) (hosts []netip.Addr, err error) {
			e := enter(ns, func() error { hosts, err = icemux.Hosts(filter); return err })
			return hosts, e
		}, nil)
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		if err := transport.Close(); err != nil {
			l.t.Error(err)
		}
	})
	return &end{transport: transport, key: key}
}

// enter calls f on a thread in a namespace. The thread dies with its goroutine.
func enter(ns string, f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked
		handle, err := netns.GetFromName(ns)
		if err != nil {
			result <- err
			return
		}
		defer handle.Close() //nolint:errcheck // read-only
		if err := netns.Set(handle); err != nil {
			result <- fmt.Errorf("enter %s: %w", ns, err)
			return
		}
		result <- f()
	}()
	return <-result
}

// capture writes what crosses an interface of the internet to a file. stop
// returns the UDP payloads by class.
func (l *lab) capture(device string) (stop func() map[udp.Class]int) {
	l.t.Helper()
	file := filepath.Join(l.t.TempDir(), device+".pcap")
	end := l.start("internet", "listening on", "tcpdump", "-U", "--immediate-mode", "-i", device, "-w", file, "ip or ip6")
	return func() map[udp.Class]int {
		l.t.Helper()
		end()
		return l.classes(file)
	}
}

func (l *lab) classes(file string) map[udp.Class]int {
	l.t.Helper()
	f, err := os.Open(file)
	if err != nil {
		l.t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // read-only
	reader, err := pcapgo.NewReader(f)
	if err != nil {
		l.t.Fatal(err)
	}
	classes := make(map[udp.Class]int)
	source := gopacket.NewPacketSource(reader, reader.LinkType())
	for packet := range source.Packets() {
		if layer, ok := packet.Layer(layers.LayerTypeUDP).(*layers.UDP); ok {
			classes[udp.Classify(layer.Payload)]++
		}
	}
	return classes
}

// labLog writes to the log of the test.
func labLog(t *testing.T) *logrus.Entry {
	t.Helper()
	level, err := logrus.ParseLevel("debug")
	if err != nil {
		t.Fatal(err)
	}
	log := logrus.New()
	log.SetLevel(level)
	log.SetOutput(t.Output())
	return logrus.NewEntry(log)
}
