//go:build e2e

package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"evio/integration/scenario"
	"evio/integration/testbed"
)

// testCompose: the services of one application stand at different sites, each from
// a docker-compose file with driver, options, static address and MAC, and a
// published port; the web service of one site is used by a service of another.
func testCompose(t *testing.T, d *scenario.Deployment) {
	const web = "10.13.1.80"
	services := map[string]string{
		"a": `
    command: ["probe", "http-serve", "-listen", ":80", "-body", "shop of site a"]
    ports: ["8080:80"]
    networks: {shop: {ipv4_address: ` + web + `}}
    mac_address: "06:00:0a:0d:01:50"`,
		"b": `
    command: ["sleep", "infinity"]
    networks: {shop: {ipv4_address: 10.13.2.80}}`,
		"c": `
    command: ["sleep", "infinity"]
    networks: [shop]`,
	}
	for i, s := range d.Sites {
		dir := filepath.Join(t.TempDir(), "shop")
		file := fmt.Sprintf(`version: "2.4"
services:
  service:
    image: %s
    init: true
    container_name: shop-%s%s
networks:
  shop:
    driver: evio
    driver_opts: {evio.overlay: shop}
    ipam: {config: [{subnet: 10.13.0.0/16, ip_range: 10.13.%d.0/24, gateway: 10.13.%d.254}]}
`, testbed.Image, s.Name(), services[s.Name()], i+1, i+1)
		if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "docker-compose.yml"), []byte(file), 0o600)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if _, err := s.Compose(context.WithoutCancel(t.Context()), dir, "down", "-t", "1"); err != nil {
				t.Error(err)
			}
		})
		if _, err := s.Compose(scenario.Within(t, time.Minute), dir, "up", "-d"); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.WaitSessions(scenario.Within(t, 20*time.Second), "shop_shop"); err != nil {
		t.Fatal(err)
	}
	for _, s := range d.Sites[1:] {
		out := scenario.Exec(t, s, "shop-"+s.Name(), "probe", "http-get", "http://"+web+"/")
		if !strings.Contains(out, "shop of site a") {
			t.Errorf("site %s got %q", s.Name(), out)
		}
	}
	a := d.Lab.Site("a")
	if out := scenario.Exec(t, d.Sites[0], "shop-a", "cat", "/sys/class/net/eth0/address"); !strings.Contains(out, "06:00:0a:0d:01:50") {
		t.Errorf("MAC address %q is not the one of the compose file", out)
	}
	out, err := a.Run(scenario.Within(t, 20*time.Second), "curl", "--silent", "--show-error", "--max-time", "5", "http://127.0.0.1:8080/")
	if err != nil || !strings.Contains(out, "shop of site a") {
		t.Errorf("published port from the site's host: %q, %v", out, err)
	}
}
