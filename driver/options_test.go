package driver

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	docker "github.com/docker/go-plugins-helpers/network"
	"github.com/google/go-cmp/cmp"

	"evio/driver/plane"
)

func TestOptions(t *testing.T) {
	normal := networkOptions{Gateway: plane.GatewayDocker, Encryption: plane.EncryptionRequired, Guard: plane.GuardClaim, MTU: 1400}
	with := func(change func(*networkOptions)) networkOptions {
		o := normal
		change(&o)
		return o
	}
	long := strings.Repeat("x", 65)
	for _, c := range []struct {
		name, json string
		want       networkOptions
		err        []string // what the sentence has to mention; none: no error
	}{
		{"none", `{}`, normal, nil},
		{"null", `null`, normal, nil},
		{"no generic", `{"com.docker.network.generic":null}`, normal, nil},
		{"overlay", `{"com.docker.network.generic":{"evio.overlay":"a.B_9-z"}}`, with(func(o *networkOptions) { o.Overlay = "a.B_9-z" }), nil},
		{"overlay of 64", `{"com.docker.network.generic":{"evio.overlay":"` + long[1:] + `"}}`, with(func(o *networkOptions) { o.Overlay = long[1:] }), nil},
		{"overlay too long", `{"com.docker.network.generic":{"evio.overlay":"` + long + `"}}`, normal, []string{"evio.overlay", "65", "1 to 64"}},
		{"overlay empty", `{"com.docker.network.generic":{"evio.overlay":""}}`, normal, []string{"evio.overlay", "1 to 64"}},
		{"overlay with a space", `{"com.docker.network.generic":{"evio.overlay":"a b"}}`, normal, []string{"evio.overlay", `"a b"`, "letters"}},
		{"overlay no text", `{"com.docker.network.generic":{"evio.overlay":7}}`, normal, []string{"evio.overlay", "text"}},
		{"gateway none", `{"com.docker.network.generic":{"evio.gateway":"none"}}`, with(func(o *networkOptions) { o.Gateway = plane.GatewayNone }), nil},
		{"gateway docker", `{"com.docker.network.generic":{"evio.gateway":"docker"}}`, normal, nil},
		{"gateway other", `{"com.docker.network.generic":{"evio.gateway":"anycast"}}`, normal, []string{"evio.gateway", "anycast", "docker", "none"}},
		{"encryption", `{"com.docker.network.generic":{"evio.encryption":"required"}}`, normal, nil},
		{"encryption other", `{"com.docker.network.generic":{"evio.encryption":"off"}}`, normal, []string{"evio.encryption", `"off"`, `"required"`, "the one value known"}},
		{"guard strict", `{"com.docker.network.generic":{"evio.guard":"strict"}}`, with(func(o *networkOptions) { o.Guard = plane.GuardStrict }), nil},
		{"guard claim", `{"com.docker.network.generic":{"evio.guard":"claim"}}`, normal, nil},
		{"guard open", `{"com.docker.network.generic":{"evio.guard":"open"}}`, with(func(o *networkOptions) { o.Guard = plane.GuardOpen }), nil},
		{"guard other", `{"com.docker.network.generic":{"evio.guard":"off"}}`, normal, []string{"evio.guard", `"off"`, `"strict"`, `"claim"`, `"open"`, "keepalived", "DHCP"}},
		{"guard in capitals", `{"com.docker.network.generic":{"evio.guard":"Open"}}`, normal, []string{"evio.guard", `"Open"`}},
		{"guard no text", `{"com.docker.network.generic":{"evio.guard":true}}`, normal, []string{"evio.guard", "text"}},
		{"guard without prefix", `{"com.docker.network.generic":{"guard":"open"}}`, normal, []string{"did you mean evio.guard?"}},
		{"mtu", `{"com.docker.network.generic":{"com.docker.network.driver.mtu":"9000"}}`, with(func(o *networkOptions) { o.MTU = 9000 }), nil},
		{"mtu least", `{"com.docker.network.generic":{"com.docker.network.driver.mtu":"576"}}`, with(func(o *networkOptions) { o.MTU = 576 }), nil},
		{"mtu too small", `{"com.docker.network.generic":{"com.docker.network.driver.mtu":"575"}}`, normal, []string{"575", "576 to 9000"}},
		{"mtu too large", `{"com.docker.network.generic":{"com.docker.network.driver.mtu":"9001"}}`, normal, []string{"9001", "576 to 9000"}},
		{"mtu no number", `{"com.docker.network.generic":{"com.docker.network.driver.mtu":"big"}}`, normal, []string{"big", "576 to 9000"}},
		{"internal", `{"com.docker.network.internal":true}`, with(func(o *networkOptions) { o.Internal, o.Gateway = true, plane.GatewayNone }), nil},
		{
			"internal and none", `{"com.docker.network.internal":true,"com.docker.network.generic":{"evio.gateway":"none"}}`,
			with(func(o *networkOptions) { o.Internal, o.Gateway = true, plane.GatewayNone }), nil,
		},
		{
			"internal and docker", `{"com.docker.network.internal":true,"com.docker.network.generic":{"evio.gateway":"docker"}}`,
			normal, []string{"evio.gateway=docker", "--internal"},
		},
		{"internal is no switch", `{"com.docker.network.internal":7}`, normal, []string{"com.docker.network.internal"}},
		{"ipv6", `{"com.docker.network.enable_ipv6":true,"com.docker.network.enable_ipv4":"true"}`, with(func(o *networkOptions) { o.IPv6 = true }), nil},
		{"Docker's own among the user's", `{"com.docker.network.generic":{"com.docker.network.enable_ipv4":"true","com.docker.network.advertise_addr_nmsgs":"1"}}`, normal, nil},
		{
			"internal as an option too", `{"com.docker.network.internal":true,"com.docker.network.generic":{"com.docker.network.internal":"true"}}`,
			with(func(o *networkOptions) { o.Internal, o.Gateway = true, plane.GatewayNone }), nil,
		},
		{"prefix of interfaces", `{"com.docker.network.generic":{"com.docker.network.container_iface_prefix":"lan"}}`, with(func(o *networkOptions) { o.IfPrefix = "lan" }), nil},
		{"mistyped", `{"com.docker.network.generic":{"evio.overly":"x"}}`, normal, []string{`"evio.overly"`, "did you mean evio.overlay?", "evio.gateway, evio.encryption, evio.guard, com.docker.network.driver.mtu, com.docker.network.container_iface_prefix"}},
		{"without prefix", `{"com.docker.network.generic":{"mtu":"1400"}}`, normal, []string{"did you mean com.docker.network.driver.mtu?"}},
		{"unknown", `{"com.docker.network.generic":{"parent":"eth0"}}`, normal, []string{`"parent": evio knows evio.overlay, evio.gateway, evio.encryption, evio.guard, com.docker.network.driver.mtu`}},
		{"another driver's", `{"com.docker.network.generic":{"com.docker.network.bridge.name":"br0"}}`, normal, []string{"com.docker.network.bridge.name"}},
		{"not below generic", `{"evio.overlay":"x"}`, normal, []string{"evio.overlay"}},
		{"generic is a list", `{"com.docker.network.generic":["x"]}`, normal, []string{"com.docker.network.generic"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var all map[string]any
			if err := json.Unmarshal([]byte(c.json), &all); err != nil {
				t.Fatal(err)
			}
			got, err := parseNetworkOptions(all, engineVersion{})
			if c.err == nil {
				if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
					t.Errorf("error %v, %s", err, diff)
				}
				return
			}
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range c.err {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not mention %q", err, part)
				}
			}
		})
	}
}

func TestMTUWithIPv6(t *testing.T) {
	for _, c := range []struct {
		name string
		req  docker.CreateNetworkRequest
		ok   bool
	}{
		{"pool", docker.CreateNetworkRequest{IPv6Data: []*docker.IPAMData{{Pool: "fd00::/64"}}}, false},
		{"switch", docker.CreateNetworkRequest{Options: map[string]any{keyIPv6: true}}, false},
		{"IPv4 alone", docker.CreateNetworkRequest{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.req.NetworkID = "n"
			for mtu, ok := range map[string]bool{"1279": c.ok, "1280": true} {
				if c.req.Options == nil {
					c.req.Options = map[string]any{}
				}
				c.req.Options[keyGeneric] = map[string]any{optionMTU: mtu}
				_, err := newNetworkRecord(&c.req, engineVersion{})
				if (err == nil) != ok {
					t.Errorf("mtu %s: %v", mtu, err)
				}
				if err != nil && !strings.Contains(err.Error(), "1280") {
					t.Errorf("error %q does not say what to do", err)
				}
			}
		})
	}
}

// A network without addresses from Docker is refused where these are the only ones that
// a container may have.
func TestStrictNeedsAddresses(t *testing.T) {
	null := []*docker.IPAMData{{AddressSpace: "null", Pool: "0.0.0.0/0", Gateway: "0.0.0.0/0"}}
	pool := []*docker.IPAMData{{Pool: "10.9.0.0/24", Gateway: "10.9.0.1/24"}}
	for guard, data := range map[string][]*docker.IPAMData{plane.GuardStrict: pool, plane.GuardClaim: null, plane.GuardOpen: null} {
		req := docker.CreateNetworkRequest{NetworkID: "n", IPv4Data: data, Options: map[string]any{keyGeneric: map[string]any{optionGuard: guard}}}
		if rec, err := newNetworkRecord(&req, engineVersion{}); err != nil || rec.Guard != guard {
			t.Errorf("%s: %+v, %v", guard, rec, err)
		}
		req.IPv4Data = null
		if _, err := newNetworkRecord(&req, engineVersion{}); (err != nil) != (guard == plane.GuardStrict) || err != nil && !strings.Contains(err.Error(), "--ipam-driver null") {
			t.Errorf("%s without addresses: %v", guard, err)
		}
	}
}

func TestPools(t *testing.T) {
	for _, c := range []struct {
		name string
		req  docker.CreateNetworkRequest
		err  string
	}{
		{"no prefix", docker.CreateNetworkRequest{IPv4Data: []*docker.IPAMData{{Pool: "10.0.0.1"}}}, "10.0.0.1"},
		{"wrong family", docker.CreateNetworkRequest{IPv4Data: []*docker.IPAMData{{Pool: "fd00::/64"}}}, "family"},
		{"wrong family 6", docker.CreateNetworkRequest{IPv6Data: []*docker.IPAMData{{Pool: "10.0.0.0/8"}}}, "family"},
		{"mapped", docker.CreateNetworkRequest{IPv6Data: []*docker.IPAMData{{Pool: "::ffff:10.0.0.0/104"}}}, "family"},
		{"gateway without prefix", docker.CreateNetworkRequest{IPv4Data: []*docker.IPAMData{{Pool: "10.0.0.0/8", Gateway: "10.0.0.1"}}}, "--gateway"},
		{"gateway of many", docker.CreateNetworkRequest{IPv6Data: []*docker.IPAMData{{Pool: "fd00::/64", Gateway: "ff02::1/64"}}}, "--gateway"},
		{"null entry", docker.CreateNetworkRequest{IPv4Data: []*docker.IPAMData{nil, {}}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parsePools(c.req.IPv4Data, c.req.IPv6Data)
			if err == nil {
				_, err = parseGateways(c.req.IPv4Data, c.req.IPv6Data)
			}
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestGateways: Docker says the gateway of each subnet, and it is in the record and in
// what the plane gets, also after a restart.
func TestGateways(t *testing.T) {
	req := docker.CreateNetworkRequest{
		NetworkID: "n",
		IPv4Data:  []*docker.IPAMData{{Pool: "10.9.0.0/24", Gateway: "10.9.0.1/24"}, nil, {Pool: "10.10.0.0/24"}},
		IPv6Data:  []*docker.IPAMData{{Pool: "fd00::/64", Gateway: "fd00::1/64"}, {Pool: "fd00::/64", Gateway: "fd00::1/64"}},
	}
	want := []netip.Addr{netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("fd00::1")}
	rec, err := newNetworkRecord(&req, engineVersion{})
	if err != nil || !slices.Equal(rec.spec().Gateways, want) {
		t.Fatalf("%v, %v", rec.spec().Gateways, err)
	}
	text, err := json.Marshal(rec)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := decodeNetwork("n", text); err != nil || !slices.Equal(again.spec().Gateways, want) {
		t.Errorf("%v, %v", again.spec().Gateways, err)
	}
}
