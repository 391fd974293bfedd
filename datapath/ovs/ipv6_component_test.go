//go:build component

package ovs

import (
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"evio/datapath/netdev"
	"evio/datapath/tap"
)

// destinationOptions has a socket send an extension header with padding before TCP.
func destinationOptions(_, _ string, c syscall.RawConn) error {
	var errno error
	padding := string([]byte{0, 0, 1, 4, 0, 0, 0, 0})
	if err := c.Control(func(fd uintptr) {
		errno = unix.SetsockoptString(int(fd), unix.IPPROTO_IPV6, unix.IPV6_DSTOPTS, padding)
	}); err != nil {
		return err
	}
	return errno
}

// six returns a container with its IPv6 address only.
func (b box) six(t *testing.T, n byte) box {
	t.Helper()
	b.addrs = []netip.Addr{netip.AddrFrom16([16]byte{0: 0xfd, 15: n})}
	b.ip(t, "addr", "replace", b.addrs[0].String()+"/64", "dev", "eth0", "nodad")
	return b
}

// TestIPv6StreamsThroughSwitch: streams over IPv6 get through the switch both ways. Between IPv6
// and TCP may stand an extension header, if the kernel finishes the checksums, of the container or
// at the TAP: Open vSwitch in user space counts the header's length and type as those of TCP.
func TestIPv6StreamsThroughSwitch(t *testing.T) {
	for name, c := range map[string]struct {
		offloads  tap.Offloads
		container netdev.Offloads
		control   func(network, address string, c syscall.RawConn) error
	}{
		"on":                             {tcpOffloads, netdev.TCPOffloads, nil},
		"off":                            {tap.Offloads{}, netdev.TCPOffloads, nil},
		"on, destination options":        {tcpOffloads, netdev.TCPOffloads, destinationOptions},
		"checksums, destination options": {tap.Offloads{Checksums: true}, netdev.TCPOffloads, destinationOptions},
		"off, destination options":       {tap.Offloads{}, netdev.NoOffloads, destinationOptions},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			link, err := tap.Open(tap.Config{Name: "l0", MTU: testMTU, Offloads: c.offloads})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = link.Close() })
			a := newBox(t, "a", 1)
			a.enter(t, func() error { return netdev.LimitOffloads("eth0", c.container) })
			far := newFar(t, 9, link, tcpOffloads)
			apply(t, s, network("br0", a.port(), Port{Name: "l0", Role: Link, MACs: []MAC{far.mac}}))
			a, far = a.six(t, 1), far.six(t, 9)
			a.control, far.control = c.control, c.control
			a.knows(t, far)
			far.knows(t, a)
			mustPing(t, a, far)
			const size = 10 << 20
			transfer(t, a, far, size)
			transfer(t, far, a, size)
			got := link.Stats()
			if c.offloads.TCP != (got.ReadSupers > 0) || got.BadLength+got.BadOffload > 0 {
				t.Errorf("%+v", got)
			}
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
