//go:build e2e

package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"evio/integration/scenario"
	"evio/integration/testbed"
)

// composeFile is what compose 2 can say of networks, for the site whose number is N.
const composeFile = `
services:
  web:
    image: IMAGE
    init: true
    command: [probe, http-serve, -listen, ":80", -body, "web of site N"]
    networks:
      lan:
        ipv4_address: 10.61.N.80
        ipv6_address: fd00:61:0:0:N::80
        mac_address: "06:00:0a:3d:0N:50"
        aliases: [store, counter]
        interface_name: lan0
        gw_priority: 100
      base: {}
      out:
        gw_priority: 10
        interface_name: wan0
  pool:
    image: IMAGE
    init: true
    networks: [lan]
  inside:
    image: IMAGE
    init: true
    networks:
      closed:
        ipv4_address: 10.62.N.80
        mac_address: "06:00:0a:3e:0N:50"
      prepared: {}
  extra:
    image: IMAGE
    init: true
    profiles: [extra]
    networks:
      lan: {ipv4_address: 10.61.N.90}
networks:
  lan:
    driver: evio
    driver_opts: {evio.overlay: full, com.docker.network.driver.mtu: "1380"}
    labels: {example.part: "shop of site N"}
    enable_ipv6: true
    ipam:
      config:
        - {subnet: 10.61.0.0/16, ip_range: 10.61.N.0/24, gateway: 10.61.N.254, aux_addresses: {printer: 10.61.N.1, scanner: 10.61.N.2}}
        - {subnet: "fd00:61::/64", ip_range: "fd00:61:0:0:N::/80", gateway: "fd00:61:0:0:N::ffff"}
  closed:
    driver: evio
    driver_opts: {evio.overlay: closed}
    internal: true
    ipam: {config: [{subnet: 10.62.0.0/16, ip_range: 10.62.N.0/24}]}
  prepared: {external: true}
  base: {}
  out: {}
`

// testComposeFile: one application at two sites, each from a file with everything that compose 2
// can say of networks.
func testComposeFile(t *testing.T, d *scenario.Deployment) {
	prepared := scenario.Network{Name: "prepared", Net: 63}
	scenario.CreateNetwork(t, d, prepared)
	sites := d.Sites[:2]
	folders := make([]string, len(sites))
	for i, s := range sites {
		folders[i] = filepath.Join(t.TempDir(), "full")
		text := strings.NewReplacer("IMAGE", testbed.Image, "site N", fmt.Sprint("site ", i+1), ".N.", fmt.Sprintf(".%d.", i+1),
			":0:N:", fmt.Sprintf(":0:%d:", i+1), ":0N:", fmt.Sprintf(":0%d:", i+1)).Replace(composeFile)
		if err := errors.Join(os.Mkdir(folders[i], 0o700), os.WriteFile(filepath.Join(folders[i], "docker-compose.yml"), []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx := context.WithoutCancel(t.Context())
			if _, err := s.Compose(ctx, folders[i], "--profile", "extra", "down", "-t", "1"); err != nil {
				t.Error(err)
			}
			if left, err := s.Docker(ctx, "network", "ls", "--filter", "name=full_", "--format", "{{.Name}}"); err != nil || left != "" {
				t.Errorf("compose down leaves networks: %s, %v", left, err)
			}
		})
		compose(t, s, folders[i], "up", "-d", "--scale", "pool=3")
	}
	for _, network := range []string{"full_lan", "full_closed", prepared.Name} {
		for _, s := range sites {
			scenario.UntilContext(t, 20*time.Second, func(ctx context.Context) error {
				n, err := s.NetworkStatus(ctx, network)
				if err == nil && scenario.Established(n) < 1 {
					err = fmt.Errorf("no session in %s", network)
				}
				return err
			})
		}
	}

	t.Run("networks", func(t *testing.T) {
		for i, s := range sites {
			composeNetworks(t, s, i+1)
		}
	})
	t.Run("interfaces", func(t *testing.T) {
		for i, s := range sites {
			composeInterfaces(t, d, s, i+1)
		}
	})
	t.Run("reach", func(t *testing.T) {
		for i, s := range sites {
			far := 2 - i
			for _, address := range []string{fmt.Sprintf("10.61.%d.80", far), fmt.Sprintf("[fd00:61:0:0:%d::80]", far)} {
				if out := scenario.Exec(t, s, "full-web-1", "probe", "http-get", "http://"+address+"/"); !strings.Contains(out, fmt.Sprint("web of site ", far)) {
					t.Errorf("site %s got %q of %s", s.Name(), out, address)
				}
			}
			for _, name := range []string{"web", "store", "counter"} {
				scenario.Exec(t, s, "full-pool-1", "ping", "-q", "-c", "1", "-W", "3", name)
			}
			scenario.Exec(t, s, "full-inside-1", "ping", "-q", "-c", "1", "-W", "3", fmt.Sprintf("10.62.%d.80", far))
			v4, v6 := scenario.Addresses(t, sites[far-1], "full-inside-1", prepared.Name)
			for _, address := range []string{v4, v6} {
				scenario.Exec(t, s, "full-inside-1", "ping", "-q", "-c", "1", "-W", "3", address)
			}
		}
	})
	t.Run("scale", func(t *testing.T) { composeScale(t, sites, folders) })
	t.Run("profiles", func(t *testing.T) { composeProfiles(t, sites, folders) })
}

// composeNetworks: the engine shows what the file says.
func composeNetworks(t *testing.T, s *scenario.Site, number int) {
	var all []struct {
		Name       string
		Internal   bool
		EnableIPv6 bool
		Labels     map[string]string
		Options    map[string]string
		IPAM       struct {
			Config []struct{ AuxiliaryAddresses map[string]string }
		}
	}
	if err := json.Unmarshal([]byte(scenario.Docker(t, s, "network", "inspect", "full_lan", "full_closed")), &all); err != nil {
		t.Fatal(err)
	}
	lan, closed := all[0], all[1]
	if got, want := lan.Labels["example.part"], fmt.Sprint("shop of site ", number); got != want {
		t.Errorf("label %q, want %q", got, want)
	}
	if lan.Options["evio.overlay"] != "full" || lan.Options["com.docker.network.driver.mtu"] != "1380" {
		t.Errorf("options %v", lan.Options)
	}
	if !lan.EnableIPv6 || lan.Internal || !closed.Internal || closed.EnableIPv6 {
		t.Errorf("lan and closed are %+v", all)
	}
	if len(lan.IPAM.Config) != 2 || len(lan.IPAM.Config[0].AuxiliaryAddresses) != 2 {
		t.Errorf("auxiliary addresses of %+v", lan.IPAM.Config)
	}
}

// composeInterfaces: addresses, MTU and names of interfaces are those of the file; the way out is
// the bridge network with the higher gw_priority.
func composeInterfaces(t *testing.T, d *scenario.Deployment, s *scenario.Site, number int) {
	out := scenario.Exec(t, s, "full-web-1", "ip", "address", "show", "dev", "lan0")
	for _, part := range []string{
		"mtu 1380", fmt.Sprintf("06:00:0a:3d:0%d:50", number), fmt.Sprintf("10.61.%d.80/16", number),
		netip.MustParsePrefix(fmt.Sprintf("fd00:61:0:0:%d::80/64", number)).String(),
	} {
		if !strings.Contains(out, part) {
			t.Errorf("site %s, lan0 has no %s: %s", s.Name(), part, out)
		}
	}
	// evio's network has the highest priority, and gives no gateway.
	if out := scenario.Exec(t, s, "full-web-1", "ip", "route", "show", "default"); !strings.Contains(out, "dev wan0") || strings.Count(out, "default") != 1 {
		t.Errorf("site %s, way out: %s", s.Name(), out)
	}
	server, _, _ := strings.Cut(d.Lab.Internet().TURN.Address(), ":")
	scenario.Exec(t, s, "full-web-1", "ping", "-q", "-c", "1", "-W", "3", server)
	closed := interfaceOf(t, s, "full-inside-1", fmt.Sprintf("10.62.%d.80", number))
	if out := scenario.Exec(t, s, "full-inside-1", "cat", "/sys/class/net/"+closed+"/address"); !strings.Contains(out, fmt.Sprintf("06:00:0a:3e:0%d:50", number)) {
		t.Errorf("site %s, closed: MAC address %s", s.Name(), out)
	}
}

// interfaceOf names the interface of a container that has an address.
func interfaceOf(t *testing.T, s *scenario.Site, container, address string) string {
	t.Helper()
	fields := strings.Fields(scenario.Exec(t, s, container, "ip", "-4", "-o", "address", "show", "to", address))
	if len(fields) < 2 {
		t.Fatalf("site %s: %s has no address %s", s.Name(), container, address)
	}
	return fields[1]
}

// composeScale: the containers of a scaled service have addresses of their own and no auxiliary
// ones, are reached from the other site, and become fewer when the scale does.
func composeScale(t *testing.T, sites []*scenario.Site, folders []string) {
	var seen []string
	for i, s := range sites {
		for k := range 3 {
			v4, v6 := scenario.Addresses(t, s, fmt.Sprint("full-pool-", k+1), "full_lan")
			for _, reserved := range []string{fmt.Sprintf("10.61.%d.1", i+1), fmt.Sprintf("10.61.%d.2", i+1)} {
				if v4 == reserved {
					t.Errorf("site %s: a container has the auxiliary address %s", s.Name(), v4)
				}
			}
			for _, address := range []string{v4, v6} {
				scenario.Exec(t, sites[1-i], "full-web-1", "ping", "-q", "-c", "1", "-W", "3", address)
			}
			seen = append(seen, v4)
		}
	}
	slices.Sort(seen)
	if len(slices.Compact(seen)) != 6 {
		t.Errorf("six containers have the addresses %s", seen)
	}
	compose(t, sites[0], folders[0], "up", "-d", "--scale", "pool=1")
	if left := scenario.Docker(t, sites[0], "ps", "--quiet", "--filter", "name=full-pool-"); len(strings.Fields(left)) != 1 {
		t.Errorf("scaled to one: %q", left)
	}
}

// composeProfiles: a service of a profile is not there until it is asked for.
func composeProfiles(t *testing.T, sites []*scenario.Site, folders []string) {
	if early := scenario.Docker(t, sites[1], "ps", "--quiet", "--filter", "name=full-extra-"); early != "" {
		t.Errorf("the service of a profile runs: %q", early)
	}
	compose(t, sites[1], folders[1], "--profile", "extra", "up", "-d", "--scale", "pool=3")
	scenario.Exec(t, sites[0], "full-web-1", "ping", "-q", "-c", "1", "-W", "3", "10.61.2.90")
}

// compose runs docker-compose at a site and fails the test if it fails.
func compose(t *testing.T, s *scenario.Site, dir string, args ...string) {
	t.Helper()
	if out, err := s.Compose(scenario.Within(t, time.Minute), dir, args...); err != nil {
		t.Fatalf("site %s: %v: %s", s.Name(), err, out)
	}
}
