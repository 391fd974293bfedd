package icemux

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func addrs(texts ...string) (list []netip.Addr) {
	for _, t := range texts {
		list = append(list, netip.MustParseAddr(t))
	}
	return list
}

func TestHostsLeaveOutWhatLeadsToNoPeer(t *testing.T) {
	list := []Interface{
		{Name: "lo", Up: true, Loopback: true, Addrs: addrs("127.0.0.1", "::1")},
		{Name: "eth0", Up: true, Addrs: addrs("192.0.2.10", "169.254.1.1", "fe80::1", "2001:db8::10", "ff02::1", "0.0.0.0")},
		{Name: "eth1", Up: false, Addrs: addrs("192.0.2.11")},
		{Name: "docker0", Up: true, Addrs: addrs("172.17.0.1")},
		{Name: "docker_gwbridge", Up: true, Addrs: addrs("172.18.0.1")},
		{Name: "br-0123456789ab", Up: true, Addrs: addrs("172.19.0.1")},
		{Name: "veth12345", Up: true, Addrs: addrs("10.9.0.1")},
		{Name: "ovs-system", Up: true, Addrs: addrs("10.9.0.2")},
		{Name: "evio01234567", Up: true, Addrs: addrs("10.9.0.3")},
		{Name: "wg0", Up: true, Addrs: addrs("10.8.0.1", "::ffff:192.0.2.10")},
	}
	own := func(name string) bool { return name == "evio01234567" }
	tests := map[string]struct {
		filter HostFilter
		want   []netip.Addr
	}{
		"in production": {HostFilter{Exclude: own}, addrs("192.0.2.10", "2001:db8::10", "10.8.0.1")},
		"with loopback": {HostFilter{Exclude: own, IncludeLoopback: true}, addrs("127.0.0.1", "::1", "192.0.2.10", "2001:db8::10", "10.8.0.1")},
		"excluding more": {
			HostFilter{Exclude: func(name string) bool { return own(name) || name == "wg0" }},
			addrs("192.0.2.10", "2001:db8::10"),
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, test.filter.Select(list), compareAddrs); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestHostsAreBoundedAndKeepBothFamilies(t *testing.T) {
	var i Interface
	i.Name, i.Up = "eth0", true
	for n := range byte(40) {
		i.Addrs = append(i.Addrs, netip.AddrFrom4([4]byte{192, 0, 2, n}))
	}
	i.Addrs = append(i.Addrs, netip.MustParseAddr("2001:db8::1"))
	hosts := HostFilter{}.Select([]Interface{i})
	if len(hosts) != maxHosts {
		t.Errorf("%d hosts, want %d", len(hosts), maxHosts)
	}
	if hosts[1] != netip.MustParseAddr("2001:db8::1") {
		t.Errorf("hosts = %v, want the IPv6 address among them", hosts)
	}
}

func TestHostsOfThisMachine(t *testing.T) {
	hosts, err := Hosts(HostFilter{IncludeLoopback: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hosts {
		if h.IsLinkLocalUnicast() || h.IsMulticast() {
			t.Errorf("%v is a host", h)
		}
	}
}
