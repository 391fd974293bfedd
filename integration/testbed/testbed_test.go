//go:build e2e

package testbed

import (
	"context"
	"crypto/tls"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// One lab serves the tests that change nothing that others see.
func TestThreeSites(t *testing.T) {
	began := time.Now()
	lab := Start(t,
		SiteConfig{Name: "a"},
		SiteConfig{Name: "b"},
		SiteConfig{Name: "c"},
	)
	took := time.Since(began)
	t.Logf("three sites with engines, XMPP and STUN: %v", took)
	if limit := 20 * time.Second; took > limit {
		t.Errorf("start took %v, want at most %v", took, limit)
	}
	t.Run("containers", func(t *testing.T) { testContainers(t, lab.Site("a")) })
}

func testContainers(t *testing.T, s *Site) {
	ctx := t.Context()
	docker := func(args ...string) string {
		t.Helper()
		out, err := s.Docker(ctx, args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	docker("network", "create", "--ipv6", "--subnet", "10.1.0.0/24", "--subnet", "fd00:1::/64", "local")
	docker("run", "-d", "--init", "--name", "one", "--network", "local", Image)
	docker("run", "-d", "--init", "--name", "two", "--network", "local", Image)
	docker("exec", "one", "ping", "-c", "1", "-W", "2", "two")
	docker("exec", "one", "ping", "-6", "-c", "1", "-W", "2", "two")
	docker("rm", "-f", "one", "two")
	docker("network", "rm", "local")
}

var _ = context.Background
var _ = tls.Dial
var _ xml.Name
var _ = fmt.Sprint
var _ = io.EOF
var _ net.IP
var _ = strings.Cut
