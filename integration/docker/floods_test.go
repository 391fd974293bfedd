//go:build e2e

package docker

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"evio/integration/scenario"
)

// testFloods: a broadcast and a multicast datagram of one container reach every
// other container exactly once, two of them at one site.
func testFloods(t *testing.T, d *scenario.Deployment) {
	n := scenario.Network{Name: "floods", Overlay: "floods", Net: 12}
	scenario.StartOverlay(t, d, n)
	type place struct {
		site      *scenario.Site
		container string
	}
	all := []place{}
	for _, s := range d.Sites {
		scenario.StartContainer(t, s, "second-"+s.Name(), n.Name)
		all = append(all, place{s, scenario.ContainerName(s, n)}, place{s, "second-" + s.Name()})
	}
	const port = 5007
	for _, p := range all {
		scenario.Exec(t, p.site, p.container, "sh", "-c", fmt.Sprintf("probe udp-recv -listen :%d -group 239.1.2.3 -dev eth0 >/tmp/got 2>/tmp/err &", port))
	}
	for _, p := range all {
		scenario.UntilContext(t, 10*time.Second, func(ctx context.Context) error {
			if out, err := p.site.Exec(ctx, p.container, "cat", "/tmp/got", "/tmp/err"); err != nil || !strings.Contains(out, "listening") {
				return fmt.Errorf("%s does not listen yet: %s %w", p.container, out, err)
			}
			return nil
		})
	}
	for _, from := range all {
		token := "token-of-" + from.container
		for _, to := range []string{"10.12.255.255", "239.1.2.3"} {
			scenario.Exec(t, from.site, from.container, "probe", "udp-send", "-dev", "eth0", "-from", sourceOf(t, from.site, from.container, n)+":0",
				"-to", fmt.Sprintf("%s:%d", to, port), "-token", token+"/"+to)
		}
	}
	for _, p := range all {
		for _, from := range all {
			if from == p {
				continue
			}
			for _, to := range []string{"10.12.255.255", "239.1.2.3"} {
				token := fmt.Sprintf(`"token-of-%s/%s"`, from.container, to)
				scenario.UntilContext(t, 5*time.Second, func(ctx context.Context) error {
					out, err := p.site.Exec(ctx, p.container, "cat", "/tmp/got")
					if err != nil {
						return err
					}
					if !strings.Contains(out, token) {
						return fmt.Errorf("%s has not got the datagram of %s to %s", p.container, from.container, to)
					}
					return nil
				})
			}
		}
	}
	for _, p := range all {
		out := scenario.Exec(t, p.site, p.container, "cat", "/tmp/got")
		for _, from := range all {
			for _, to := range []string{"10.12.255.255", "239.1.2.3"} {
				token := fmt.Sprintf(`"token-of-%s/%s"`, from.container, to)
				if got := strings.Count(out, token); from != p && got != 1 {
					t.Errorf("%s got the datagram of %s to %s %d times", p.container, from.container, to, got)
				}
			}
		}
	}
}

func sourceOf(t *testing.T, s *scenario.Site, container string, n scenario.Network) string {
	t.Helper()
	v4, _ := scenario.Addresses(t, s, container, n.Name)
	return v4
}

// addrOf returns the address of an address:port.
func addrOf(s string) string {
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		return s
	}
	return ap.Addr().Unmap().String()
}
