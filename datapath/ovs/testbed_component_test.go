//go:build component

package ovs

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"evio/datapath/filter"
	"evio/datapath/frame"
	"evio/datapath/netdev"
	"evio/datapath/tap"
)

const testMTU = 1400

func testLog(t *testing.T) *logrus.Entry {
	l := logrus.New() // from level info on
	l.SetOutput(t.Output())
	return logrus.NewEntry(l)
}

// start starts an own switch in directories of the test.
func start(t *testing.T) *Switch {
	t.Helper()
	s, err := Start(t.Context(), Config{RunDir: runDir(t), Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Stop()
		if err := s.shields.Remove(); err != nil { // the kernel puts a chain on a later device of the same name
			t.Error(err)
		}
	})
	return s
}

// runDir makes a directory with a short name, as sockets need it.
func runDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/run", "ovs") //nolint:usetesting // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// eventually polls until ok, for what a real process does in its own time.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 15 s", what)
		}
		pause(t.Context(), 20*time.Millisecond) //nolint:errcheck // the deadline ends the loop
	}
}

// box is a network namespace that plays a container.
type box struct {
	name, host string
	mac        MAC
	addrs      []netip.Addr
	control    func(network, address string, c syscall.RawConn) error // of its sockets of streams; nil: nothing
}

func (b box) port() Port {
	return Port{Name: b.host, Role: Container, MACs: []MAC{b.mac}, Addrs: b.addrs}
}

// hw returns the address that this file gives to the n-th station.
func hw(n byte) MAC { return MAC{0x02, 0xee, 0, 0, 0, n} }

// newBox makes a container n with addresses 10.1.0.n and fd00::n, attached to a
// device of the host.
func newBox(t *testing.T, name string, n byte) box {
	t.Helper()
	b := box{name: name, host: "h" + name, mac: hw(n), addrs: []netip.Addr{
		netip.AddrFrom4([4]byte{10, 1, 0, n}), netip.MustParseAddr(fmt.Sprintf("fd00::%x", n)),
	}}
	run(t, "ip", "netns", "add", name)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", name).Run() })
	b.plug(t)
	return b
}

// plug makes the veth pair and configures the container's end.
func (b box) plug(t *testing.T) {
	t.Helper()
	if err := netdev.CreateVeth(b.host, "c"+b.name, testMTU, b.mac); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netdev.Delete(b.host) })
	run(t, "ip", "link", "set", "c"+b.name, "netns", b.name, "name", "eth0")
	b.ip(t, "link", "set", "lo", "up")
	for _, a := range b.addrs {
		bits := "/24"
		if a.Is6() {
			bits = "/64"
		}
		args := []string{"addr", "add", a.String() + bits, "dev", "eth0"}
		if a.Is6() {
			args = append(args, "nodad")
		}
		b.ip(t, args...)
	}
	b.ip(t, "link", "set", "eth0", "up")
	if err := netdev.WaitCarrier(t.Context(), b.host); err != nil {
		t.Fatal(err)
	}
}

func (b box) ip(t *testing.T, args ...string) {
	t.Helper()
	run(t, "ip", append([]string{"-n", b.name}, args...)...)
}

// enter runs fn on a thread in the namespace; sockets made there stay there.
func (b box) enter(t *testing.T, fn func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		ns, err := netns.GetFromName(b.name)
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
		t.Fatal(err)
	}
}

// pings reports whether b reaches an address.
func (b box) pings(to netip.Addr) bool {
	cmd := exec.Command("ip", "netns", "exec", b.name, "ping", "-c", "1", "-W", "1", to.String())
	return cmd.Run() == nil
}

func mustPing(t *testing.T, from, to box) {
	t.Helper()
	for _, a := range to.addrs {
		eventually(t, fmt.Sprintf("ping %s to %s", from.name, a), func() bool { return from.pings(a) })
	}
}

func apply(t *testing.T, s *Switch, b Bridge) {
	t.Helper()
	if err := s.Apply(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func network(name string, ports ...Port) Bridge {
	return Bridge{Name: name, Network: "net-" + name, MTU: testMTU, Guard: ownMAC, Ports: ports}
}

// ownMAC lets containers send everything from their own MAC addresses.
var ownMAC = filter.New([]filter.Stage{{
	{Match: filter.Match{Source: filter.Stations{Of: filter.Self}}},
	{Then: filter.Refuse, Cause: filter.Station},
}}, filter.Stage{
	{Match: filter.Match{Kind: filter.IPv4, To: filter.Addresses{Of: filter.Self}}, Then: filter.Pass},
	{Match: filter.Match{Kind: filter.IPv6, To: filter.Addresses{Of: filter.Self}}, Then: filter.Pass},
})

// packetSocket is a raw socket on a container's device.
type packetSocket struct{ fd int }

func openPacket(t *testing.T, in *box) *packetSocket {
	t.Helper()
	p := &packetSocket{}
	open := func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		all := uint16(unix.ETH_P_ALL)<<8 | uint16(unix.ETH_P_ALL)>>8
		p.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(all))
		if err != nil {
			return err
		}
		tv := unix.Timeval{Usec: 50_000}
		return errors.Join(
			unix.SetsockoptTimeval(p.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv),
			unix.Bind(p.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifi.Index}))
	}
	in.enter(t, open)
	t.Cleanup(func() { _ = unix.Close(p.fd) })
	return p
}

func (p *packetSocket) send(t *testing.T, frame []byte) {
	t.Helper()
	if _, err := unix.Write(p.fd, frame); err != nil {
		t.Fatal(err)
	}
}

// until returns the marks of test frames in the order received, up to the one
// with mark last.
func (p *packetSocket) until(t *testing.T, last string) []string {
	t.Helper()
	var marks []string
	buf := make([]byte, 65536)
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		n, from, err := unix.Recvfrom(p.fd, buf, 0)
		if err != nil {
			continue
		}
		if ll, ok := from.(*unix.SockaddrLinklayer); ok && ll.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		if m := markOf(buf[:n]); m != "" {
			marks = append(marks, m)
			if m == last {
				return marks
			}
		}
	}
	t.Fatalf("mark %s was not received; received: %v", last, marks)
	return nil
}

// markOf finds the mark that mark put into a frame.
func markOf(frame []byte) string {
	_, rest, ok := bytes.Cut(frame, []byte("mark<"))
	if !ok {
		return ""
	}
	m, _, _ := bytes.Cut(rest, []byte(">"))
	return string(m)
}

func openTAP(t *testing.T, name string) tap.Device {
	t.Helper()
	d, err := tap.Open(tap.Config{Name: name, MTU: testMTU})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// observer sees the marked frames that leave a port.
type observer interface {
	until(t *testing.T, last string) []string
}

// tapObserver reads the process's side of a port.
type tapObserver struct{ tap.Device }

func (o tapObserver) until(t *testing.T, last string) []string {
	t.Helper()
	timer := time.AfterFunc(10*time.Second, func() { _ = o.Close() })
	defer timer.Stop()
	var marks []string
	var v frame.Vector
	defer v.Release()
	for {
		if err := o.ReadFrames(&v); err != nil {
			t.Fatalf("mark %s was not received: %v; received: %v", last, err, marks)
		}
		for _, f := range v.Frames {
			if m := markOf(f.Data); m != "" {
				marks = append(marks, m)
				if m == last {
					return marks
				}
			}
		}
		v.Release()
	}
}

func (o tapObserver) send(t *testing.T, data []byte) {
	t.Helper()
	if n, err := o.WriteFrames([]frame.Frame{{Data: data}}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
}
