//go:build e2e

package applications

import (
	"fmt"
	"testing"
)

// tunnelRows are what goes through a tunnel that containers make between each other: the kernel
// hands a device frames whose inside is still to be cut and summed.
func tunnelRows() []application {
	return []application{
		{name: "stream in VXLAN", run: throughVXLAN(4, stream{}.run)},
		{name: "stream in VXLAN by IPv6", run: throughVXLAN(6, stream{}.run)},
		{name: "segments in VXLAN", run: throughVXLAN(4, datagrams(false, 12000, 1200, 20))},
		{name: "burst in VXLAN", run: throughVXLAN(4, datagrams(false, 1300, 0, 1000))},
	}
}

// throughVXLAN runs something between the inner ends of a tunnel.
func throughVXLAN(family int, inner func(*testing.T, *applications, way) tally) func(*testing.T, *applications, way) tally {
	return func(t *testing.T, s *applications, w way) tally {
		outer := func(e end) string {
			if family == 6 {
				return e.v6
			}
			return e.v4
		}
		for i, e := range []end{w.from, w.to} {
			far := []end{w.to, w.from}[i]
			e.run(t, "sh", "-ec", fmt.Sprintf(`
ip link add vx0 type vxlan id 7 dstport 4789 local %s remote %s dev eth0
ip address add 192.168.99.%d/24 dev vx0
ip link set vx0 up`, outer(e), outer(far), i+1))
			defer e.run(t, "ip", "link", "del", "vx0")
		}
		inside := w
		inside.name = fmt.Sprintf("%s, in VXLAN over IPv%d", w.name, family)
		inside.from.v4, inside.to.v4 = "192.168.99.1", "192.168.99.2"
		inside.from.run(t, "ping", "-c", "1", "-w", "5", inside.to.v4)
		return inner(t, s, inside)
	}
}
