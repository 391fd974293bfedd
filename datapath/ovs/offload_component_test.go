//go:build component

package ovs

import (
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"evio/datapath/frame"
	"evio/datapath/netdev"
	"evio/datapath/tap"
)

var tcpOffloads = tap.Offloads{Checksums: true, TCP: true}

// newFar makes a container of another engine: its only device is a TAP, whose frames the test
// carries to the link port dev and back.
func newFar(t *testing.T, n byte, dev tap.Device, o tap.Offloads) box {
	t.Helper()
	b := box{name: "far", mac: hw(n), addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 1, 0, n})}}
	end, err := tap.Open(tap.Config{Name: "tfar", MTU: testMTU, Offloads: o})
	if err != nil {
		t.Fatal(err)
	}
	run(t, "ip", "netns", "add", b.name)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", b.name).Run() })
	run(t, "ip", "link", "set", "tfar", "netns", b.name, "name", "eth0")
	b.ip(t, "link", "set", "eth0", "up", "arp", "on", "address", hwText(b.mac))
	b.ip(t, "addr", "add", b.addrs[0].String()+"/24", "dev", "eth0")
	var wg sync.WaitGroup
	for _, way := range [][2]tap.Device{{dev, end}, {end, dev}} {
		wg.Go(func() {
			var v frame.Vector
			for way[0].ReadFrames(&v) == nil {
				_, _ = way[1].WriteFrames(v.Frames) // until the devices are closed
				v.Release()
			}
		})
	}
	t.Cleanup(func() {
		_, _ = dev.Close(), end.Close()
		wg.Wait()
	})
	return b
}

// knows has a container know another one's MAC address; there is no port here that answers.
func (b box) knows(t *testing.T, other box) {
	t.Helper()
	b.ip(t, "neigh", "replace", other.addrs[0].String(), "lladdr", hwText(other.mac), "dev", "eth0")
}

// TestSuperFramesThroughSwitch: streams of TCP get from a container to one of another engine and
// back through the switch, in super-frames or in single frames, and no checksum is wrong.
func TestSuperFramesThroughSwitch(t *testing.T) {
	for name, o := range map[string]tap.Offloads{"on": tcpOffloads, "off": {}, "checksums": {Checksums: true}} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			known, _ := s.Offloads("l0")
			if !known.TCP || known.UDP || !strings.Contains(known.Why, "segmentation of UDP") {
				t.Errorf("the plugin's own switch knows %+v", known)
			}
			link, err := tap.Open(tap.Config{Name: "l0", MTU: testMTU, Offloads: o})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = link.Close() })
			a := newBox(t, "a", 1)
			a.enter(t, func() error { return netdev.LimitOffloads("eth0", netdev.TCPOffloads) })
			far := newFar(t, 9, link, tcpOffloads)
			a.knows(t, far)
			far.knows(t, a)
			apply(t, s, network("br0", a.port(), Port{Name: "l0", Role: Link, MACs: []MAC{far.mac}}))
			mustPing(t, a, far)
			const size = 30 << 20
			transfer(t, a, far, size)
			transfer(t, far, a, size)
			got := link.Stats()
			if on := o.TCP; on != (got.ReadSupers > 0) || on != (got.WrittenSupers > 0) {
				t.Errorf("%+v", got)
			}
			if got.ReadSegments < size/testMTU || got.WrittenSegments < size/testMTU || got.BadLength+got.BadOffload > 0 {
				t.Errorf("%+v", got)
			}
			t.Logf("%d reads and %d writes for %d and %d segments", got.Reads, got.Writes, got.ReadSegments, got.WrittenSegments)
			for _, b := range []box{a, far} {
				if wrong := run(t, "ip", "netns", "exec", b.name, "awk", "/^Tcp: [0-9]/ { print $15 }", "/proc/net/snmp"); strings.TrimSpace(wrong) != "0" {
					t.Errorf("%s: %s segments with wrong checksums", b.name, wrong)
				}
			}
			if lost, err := s.Losses(t.Context(), "br0"); err != nil || lost.Offload+lost.TooLong > 0 {
				t.Errorf("the switch cannot send on: %+v, %v", lost, err)
			}
		})
	}
}

// TestHostOffloads: what a host's switch does is found by how it reads ports, since its setting
// counts only when it starts.
func TestHostOffloads(t *testing.T) {
	h := startHost(t)
	s, err := Start(t.Context(), Config{HostRunDir: h.dir, RunDir: filepath.Join(h.dir, "unused"), Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	openTAP(t, "f0")
	if got, known := s.Offloads("f0"); known || got.TCP || !strings.Contains(got.Why, "yet") {
		t.Errorf("before there is a port: %+v, %v", got, known)
	}
	apply(t, s, network("br0", Port{Name: "f0", Role: Fabric}))
	check := func(when string, tcp bool) {
		t.Helper()
		eventually(t, "the port is read", func() bool { _, known := s.Offloads("f0"); return known })
		if got, _ := s.Offloads("f0"); got.TCP != tcp || got.UDP || got.Why == "" {
			t.Errorf("%s: %+v", when, got)
		}
	}
	check("without the setting", false)
	run(t, "ovs-vsctl", "--db="+h.p.database(), "--timeout=10", "set", "Open_vSwitch", ".", "other_config:userspace-tso-enable=true")
	check("with the setting, before it starts again", false)
	_ = h.sw.Process.Kill()
	_ = h.sw.Wait()
	if got, known := s.Offloads("f0"); known || got.TCP {
		t.Errorf("while it is away: %+v, %v", got, known)
	}
	h.sw = h.spawn(t, "ovs-vswitchd", h.p.database(), "--pidfile")
	check("started with it", true) // the port is in its database
}
