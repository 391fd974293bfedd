package driver_test

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evio/driver/drivertest"
	"evio/driver/plane"
	"evio/driver/status"
)

func TestCapabilities(t *testing.T) {
	r := newRig(t).start()
	for _, body := range []any{nil, "{}", "null"} {
		code, got := r.post("NetworkDriver.GetCapabilities", body)
		want := m{"Scope": "local", "ConnectivityScope": "global"}
		if diff := cmp.Diff(want, got); code != http.StatusOK || diff != "" {
			t.Errorf("code %d, %s", code, diff)
		}
	}
	if _, got := r.post("Plugin.Activate", nil); !cmp.Equal(got, m{"Implements": []any{"NetworkDriver"}}) {
		t.Errorf("activate: %v", got)
	}
}

// The usual calls of the usual user actions, in Docker's order.
func TestUsualSequence(t *testing.T) {
	r := newRig(t).start()
	r.ok("CreateNetwork", createNetwork(net1, "evio.overlay=t1", "com.docker.network.driver.mtu=1350"))
	spec, _ := r.plane.Network(net1)
	if spec.Overlay != "t1" || spec.MTU != 1350 || spec.Gateway != plane.GatewayDocker || fmt.Sprint(spec.Subnets) != "[10.9.0.0/24]" {
		t.Errorf("network in the plane: %+v", spec)
	}

	answer := r.ok("CreateEndpoint", createEndpoint(net1, ep1, "10.9.0.2/24", ""))
	iface, _ := answer["Interface"].(m)
	mac, _ := iface["MacAddress"].(string)
	if !regexp.MustCompile(`^[0-9a-f][26ae](:[0-9a-f]{2}){5}$`).MatchString(mac) || strings.HasPrefix(mac, "02:42") {
		t.Errorf("MAC %q is not locally administered and unicast", mac)
	}
	if iface["Address"] != "" || iface["AddressIPv6"] != "" {
		t.Errorf("an address was returned: %v", iface)
	}
	if n, e := r.plane.Size(); n != 1 || e != 0 {
		t.Errorf("CreateEndpoint made something: %d networks, %d endpoints", n, e)
	}

	answer = r.ok("Join", join(net1, ep1))
	name, _ := answer["InterfaceName"].(m)
	ep, _ := r.plane.Endpoint(net1, ep1)
	if name["SrcName"] != ep.ContainerIf || name["DstPrefix"] != "eth" || answer["Gateway"] != "" || answer["DisableGatewayService"] != false {
		t.Errorf("join: %v", answer)
	}
	if !regexp.MustCompile(`^evh[0-9a-f]{10}$`).MatchString(ep.HostIf) || fmt.Sprint(ep.Addrs) != "[10.9.0.2]" || ep.Adopt || ep.SandboxKey == "" {
		t.Errorf("endpoint in the plane: %+v", ep)
	}
	r.ok("ProgramExternalConnectivity", ids(net1, ep1))
	info := r.ok("EndpointOperInfo", ids(net1, ep1))
	if v, _ := info["Value"].(m); v["evio.mac"] != mac {
		t.Errorf("info: %v", info)
	}
	r.ok("RevokeExternalConnectivity", ids(net1, ep1))
	r.ok("Leave", ids(net1, ep1))
	r.wantSizes(1, 0, 2)
	r.ok("DeleteEndpoint", ids(net1, ep1))
	r.wantSizes(1, 0, 1)

	// A restart of the container: another endpoint, the same address, the same MAC.
	again := r.ok("CreateEndpoint", createEndpoint(net1, ep2, "10.9.0.2/24", ""))
	if diff := cmp.Diff(answerMAC(again), mac); diff != "" {
		t.Errorf("MAC after a restart: %s", diff)
	}
	r.ok("DeleteEndpoint", ids(net1, ep2))
	r.ok("DeleteNetwork", m{"NetworkID": net1})
	r.wantSizes(0, 0, 0)
}

func answerMAC(answer m) string {
	iface, _ := answer["Interface"].(m)
	mac, _ := iface["MacAddress"].(string)
	return mac
}

func TestGivenMACIsObeyedAndNotRepeated(t *testing.T) {
	r := newRig(t).start()
	r.ok("CreateNetwork", createNetwork(net1, "evio.overlay=t1"))
	answer := r.ok("CreateEndpoint", createEndpoint(net1, ep1, "10.9.0.2/24", "0a:00:00:00:00:07"))
	if answer["Interface"] != nil {
		t.Errorf("answer %v repeats what Docker gave", answer)
	}
	r.ok("Join", join(net1, ep1))
	if ep, _ := r.plane.Endpoint(net1, ep1); ep.MAC != [6]byte{0x0a, 0, 0, 0, 0, 7} {
		t.Errorf("MAC in the plane %x", ep.MAC)
	}
	r.refusedWith("CreateEndpoint", createEndpoint(net1, ep2, "10.9.0.3/24", "0a:00:00:00:00:07"), "0a:00:00:00:00:07", "different")
	r.refusedWith("CreateEndpoint", createEndpoint(net1, ep2, "10.9.0.3/24", "01:00:5e:00:00:07"), "unicast")
	r.refusedWith("CreateEndpoint", createEndpoint(net1, ep2, "10.9.0.2/24", ""), "10.9.0.2", "different")
	r.refusedWith("CreateEndpoint", createEndpoint(net1, ep2, "10.8.0.2/24", ""), "10.8.0.2", "10.9.0.0/24")
}

func TestNoWayOut(t *testing.T) {
	for name, request := range map[string]m{
		"gateway none": createNetwork(net1, "evio.overlay=t1", "evio.gateway=none"),
		"internal": func() m {
			c := createNetwork(net1, "evio.overlay=t1")
			c["Options"].(m)["com.docker.network.internal"] = true
			return c
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t).start()
			r.ok("CreateNetwork", request)
			r.ok("CreateEndpoint", createEndpoint(net1, ep1, "10.9.0.2/24", ""))
			if answer := r.ok("Join", join(net1, ep1)); answer["DisableGatewayService"] != true {
				t.Errorf("join: %v", answer)
			}
		})
	}
}

// Docker's null address management, IPv6 alone, and several subnets.
func TestAddressPools(t *testing.T) {
	null := func(pool string) []m { return []m{{"AddressSpace": "null", "Pool": pool, "Gateway": pool}} }
	for _, c := range []struct {
		name, v4, v6, want string
		v4Data, v6Data     []m
	}{
		{name: "null", v4Data: null("0.0.0.0/0"), v6Data: null("::/0"), want: "[]"},
		{name: "null with an address", v4Data: null("0.0.0.0/0"), v4: "10.1.2.3/24", want: "[10.1.2.3]"},
		{name: "no pools", want: "[]"},
		{name: "no IPv4", v6Data: []m{{"Pool": "fd00:9::/64"}}, v6: "fd00:9::2/64", want: "[fd00:9::2]"},
		{name: "both", v4Data: []m{{"Pool": "10.9.0.0/24"}}, v6Data: []m{{"Pool": "fd00:9::/64"}}, v4: "10.9.0.2/24", v6: "fd00:9::2/64", want: "[10.9.0.2 fd00:9::2]"},
		{name: "second subnet", v4Data: []m{{"Pool": "10.9.0.0/24"}, {"Pool": "10.10.0.0/24"}}, v4: "10.10.0.2/24", want: "[10.10.0.2]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t).start()
			r.ok("CreateNetwork", m{"NetworkID": net1, "IPv4Data": c.v4Data, "IPv6Data": c.v6Data})
			answer := r.ok("CreateEndpoint", m{"NetworkID": net1, "EndpointID": ep1, "Interface": m{"Address": c.v4, "AddressIPv6": c.v6}})
			if answerMAC(answer) == "" {
				t.Error("no MAC")
			}
			r.ok("Join", join(net1, ep1))
			if ep, _ := r.plane.Endpoint(net1, ep1); fmt.Sprint(ep.Addrs) != c.want {
				t.Errorf("addresses %v, want %s", ep.Addrs, c.want)
			}
		})
	}
}

func TestEmptyBodyHasNoEffect(t *testing.T) {
	r := newRig(t).start()
	for _, method := range []string{
		"AllocateNetwork", "FreeNetwork", "CreateNetwork", "DeleteNetwork", "CreateEndpoint", "DeleteEndpoint", "EndpointOperInfo",
		"Join", "Leave", "DiscoverNew", "DiscoverDelete", "ProgramExternalConnectivity", "RevokeExternalConnectivity",
	} {
		for _, body := range []any{nil, " \n", "[", `{"NetworkID": 7}`} {
			if method == "DiscoverNew" || method == "DiscoverDelete" {
				if s, _ := body.(string); strings.HasPrefix(s, "{") {
					continue
				}
			}
			if code, answer := r.post("NetworkDriver."+method, body); code != http.StatusBadRequest || answer["Err"] == "" {
				t.Errorf("%s with body %v: %d %v", method, body, code, answer)
			}
		}
	}
	if ops := r.plane.Ops(); len(ops) > 0 {
		t.Errorf("the plane was called: %v", ops)
	}
	r.refused("CreateNetwork", "{}")
	r.refused("CreateEndpoint", "{}")
	r.refused("Join", "null")
}

func TestUnknownAndRepeated(t *testing.T) {
	r := newRig(t).start()
	r.ok("Leave", ids(net1, ep1))
	r.ok("DeleteEndpoint", ids(net1, ep1))
	r.ok("DeleteNetwork", m{"NetworkID": net1})
	r.ok("EndpointOperInfo", ids(net1, ep1))
	r.refusedWith("CreateEndpoint", createEndpoint(net1, ep1, "10.9.0.2/24", ""), short(net1))
	r.refusedWith("Join", join(net1, ep1), short(net1))

	r.ok("CreateNetwork", createNetwork(net1, "evio.overlay=t1"))
	r.ok("CreateNetwork", createNetwork(net1, "evio.overlay=t1"))
	r.refusedWith("CreateNetwork", createNetwork(net1, "evio.overlay=t1", "evio.gateway=none"), "other settings")
	r.refusedWith("Join", join(net1, ep1), short(ep1))
	first := r.ok("CreateEndpoint", createEndpoint(net1, ep1, "10.9.0.2/24", ""))
	if diff := cmp.Diff(first, r.ok("CreateEndpoint", createEndpoint(net1, ep1, "10.9.0.2/24", ""))); diff != "" {
		t.Error(diff)
	}
	r.refusedWith("CreateEndpoint", createEndpoint(net1, ep1, "10.9.0.3/24", ""), "other addresses")
	r.ok("Leave", ids(net1, ep1))
	joined := r.ok("Join", join(net1, ep1))
	if diff := cmp.Diff(joined, r.ok("Join", join(net1, ep1))); diff != "" {
		t.Error(diff)
	}
	r.ok("DeleteEndpoint", ids(net1, ep1)) // without Leave
	r.wantSizes(1, 0, 1)
	r.ok("DeleteEndpoint", ids(net1, ep1))
	r.ok("Leave", ids(net1, ep1))

	r.ok("CreateEndpoint", createEndpoint(net1, ep2, "10.9.0.2/24", ""))
	r.ok("Join", join(net1, ep2))
	r.ok("DeleteNetwork", m{"NetworkID": net1}) // with an endpoint
	r.ok("DeleteNetwork", m{"NetworkID": net1})
	r.wantSizes(0, 0, 0)
}

func short(id string) string { return id[:12] }

func TestSwarmCalls(t *testing.T) {
	r := newRig(t).start()
	answer := r.ok("AllocateNetwork", m{"NetworkID": net2, "Options": m{"evio.overlay": "t1"}})
	if diff := cmp.Diff(m{"Options": m{"evio.overlay": "t1"}}, answer); diff != "" {
		t.Error(diff)
	}
	if answer := r.ok("AllocateNetwork", m{"NetworkID": net2}); answer["Options"] == nil {
		t.Errorf("answer %v", answer)
	}
	r.ok("FreeNetwork", m{"NetworkID": net2})
	discovery := m{"DiscoveryType": 1, "DiscoveryData": m{"Address": "192.0.2.1", "BindAddress": "192.0.2.1", "Self": true}}
	r.ok("DiscoverNew", discovery)
	r.ok("DiscoverDelete", discovery)
}

func TestConcurrentJoins(t *testing.T) {
	const containers = 64
	r := newRig(t)
	var gathered sync.WaitGroup
	gathered.Add(containers)
	r.plane.Hook = func(_ context.Context, c drivertest.Call) error {
		if c.Op == "AddEndpoint" && !c.Done {
			gathered.Done()
			gathered.Wait() // all of them are in the plane at once
		}
		return nil
	}
	r.start()
	r.ok("CreateNetwork", createNetwork(net1, "evio.overlay=t1"))
	var wg sync.WaitGroup
	errs := make(chan error, containers)
	for i := range containers {
		wg.Go(func() {
			id := fmt.Sprintf("endpoint-%02d", i)
			for _, call := range []struct {
				method string
				body   m
			}{
				{"NetworkDriver.CreateEndpoint", createEndpoint(net1, id, fmt.Sprintf("10.9.0.%d/24", i+2), "")},
				{"NetworkDriver.Join", join(net1, id)},
				{"NetworkDriver.Leave", ids(net1, id)},
				{"NetworkDriver.DeleteEndpoint", ids(net1, id)},
			} {
				code, answer, err := post(t.Context(), r.client, call.method, call.body)
				if err != nil || code != http.StatusOK {
					errs <- fmt.Errorf("%s %s: %d %v %w", call.method, id, code, answer, err)
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	r.wantSizes(1, 0, 1)
	i := slices.IndexFunc(r.driver.Calls(), func(c status.Call) bool { return c.Method == "Join" })
	if c := r.driver.Calls()[i]; c.Total != containers || c.Failed != 0 {
		t.Errorf("calls counted: %+v", c)
	}
}

func TestSeveralListeners(t *testing.T) {
	r := newRig(t).start()
	first := r.served
	other := filepath.Join(t.TempDir(), "evio:latest.sock")
	r.listen(other)
	client := unixClient(other)
	defer client.CloseIdleConnections()
	r.ok("CreateNetwork", createNetwork(net1, "evio.overlay=t1"))
	if code, answer, err := post(t.Context(), client, "NetworkDriver.DeleteNetwork", m{"NetworkID": net1}); err != nil || code != http.StatusOK {
		t.Errorf("%d %v %v", code, answer, err)
	}
	r.wantSizes(0, 0, 0)
	r.stop()
	if err := <-first; err != nil {
		t.Error(err)
	}
}
