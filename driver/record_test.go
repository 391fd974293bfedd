package driver

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	docker "github.com/docker/go-plugins-helpers/network"
	"pgregory.net/rapid"

	"evio/driver/plane"
)

func TestDerivedMAC(t *testing.T) {
	addrs := []netip.Addr{netip.MustParseAddr("10.9.0.2")}
	same := deriveMAC("t1", addrs, "a")
	if other := deriveMAC("t1", addrs, "b"); other != same {
		t.Errorf("depends on the endpoint though there is an address: %x, %x", same, other)
	}
	if deriveMAC("t2", addrs, "a") == same || deriveMAC("t1", nil, "a") == same {
		t.Error("does not depend on overlay and address")
	}
	if deriveMAC("t1", nil, "a") == deriveMAC("t1", nil, "b") {
		t.Error("address-less endpoints share a MAC")
	}
	rapid.Check(t, func(t *rapid.T) {
		mac := deriveMAC(rapid.String().Draw(t, "overlay"), nil, rapid.String().Draw(t, "endpoint"))
		if mac[0]&0x03 != 0x02 || mac[0] == 0x02 && mac[1] == 0x42 {
			t.Fatalf("MAC %x", mac)
		}
	})
}

func TestVethNames(t *testing.T) {
	host, container := vethNames("engine", "endpoint")
	otherHost, _ := vethNames("other", "endpoint")
	anotherHost, _ := vethNames("engine", "another")
	if host == container || host == otherHost || host == anotherHost || !isInterfaceName(host) || !isInterfaceName(container) {
		t.Errorf("names %q %q %q %q", host, container, otherHost, anotherHost)
	}
}

// TestOlderNetworks: networks that were stored before an option was there have its
// default, and what is not known is not taken for less.
func TestOlderNetworks(t *testing.T) {
	const network = `{"id":"n","gateway":"none","mtu":1400`
	r, err := decodeNetwork("n", []byte(network+"}"))
	if spec := r.spec(); err != nil || spec.Encryption != plane.EncryptionRequired || spec.Guard != plane.GuardClaim {
		t.Errorf("%+v, %v", spec, err)
	}
	for _, other := range []string{`"encryption":""`, `"encryption":"preferred"`, `"guard":""`, `"guard":"off"`, `"gateways":["224.0.0.1"]`} {
		if r, err := decodeNetwork("n", []byte(network+","+other+"}")); err == nil {
			t.Errorf("%s became %+v", other, r)
		}
	}
}

func FuzzNetworkRecord(f *testing.F) {
	f.Add([]byte(`{"id":"n","overlay":"t1","named":true,"gateway":"docker","mtu":1400,"interface_prefix":"lan","subnets":["10.9.0.0/24"]}`))
	f.Add([]byte(`{"id":"n","gateway":"none","guard":"open","mtu":1400,"subnets":["10.9.0.0/24"],"gateways":["10.9.0.1","fd00::1"]}`))
	f.Add([]byte(`{"id":"n","gateway":"none","mtu":9000,"removed":true}`))
	f.Add([]byte(`{"id":"n","overlay":" "}`))
	f.Add([]byte(`{"id":"n","gateway":"none","encryption":"off","mtu":9000}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := decodeNetwork("n", body)
		if err != nil {
			return
		}
		again := recode(t, r, func(b []byte) (networkRecord, error) { return decodeNetwork("n", b) })
		if fmt.Sprint(r.spec()) != fmt.Sprint(again.spec()) || !r.sameRequest(&again) {
			t.Errorf("%+v became %+v", r, again)
		}
	})
}

func FuzzEndpointRecord(f *testing.F) {
	f.Add([]byte(`{"network":"n","id":"e","mac":"0a:00:00:00:00:01","addresses":["10.9.0.2","fd00::2"],"joined":true,"host_interface":"evh1","container_interface":"evc1","interface_name":"lan0","claims":[{"address":"10.9.0.200","mac":"0a:00:00:00:00:01"},{"mac":"00:00:5e:00:01:33"}]}`))
	f.Add([]byte(`{"network":"n","id":"e","mac":"01:00:00:00:00:01"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := decodeEndpoint("n/e", body)
		if err != nil {
			return
		}
		again := recode(t, r, func(b []byte) (endpointRecord, error) { return decodeEndpoint("n/e", b) })
		if fmt.Sprint(r.spec(true)) != fmt.Sprint(again.spec(true)) || !r.sameRequest(&again) {
			t.Errorf("%+v became %+v", r, again)
		}
	})
}

func recode[R any](t *testing.T, r R, decode func([]byte) (R, error)) R {
	t.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	again, err := decode(b)
	if err != nil {
		t.Fatalf("decode(encode(%+v)): %v", r, err)
	}
	return again
}

func FuzzNetworkOptions(f *testing.F) {
	f.Add([]byte(`{"com.docker.network.generic":{"evio.overlay":"t1","evio.gateway":"none","com.docker.network.driver.mtu":"1400"}}`))
	f.Add([]byte(`{"com.docker.network.internal":true,"com.docker.network.enable_ipv6":"false"}`))
	f.Add([]byte(`{"com.docker.network.generic":{"evio.overly":1}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var all map[string]any
		if json.Unmarshal(body, &all) != nil {
			return
		}
		if name, err := checkEndpointOptions(all, engineVersion{}); err != nil && name != "" || name != "" && !isContainerIfName(name) {
			t.Errorf("interface %q, %v", name, err)
		}
		o, err := parseNetworkOptions(all, engineVersion{})
		if err != nil {
			return
		}
		r := networkRecord{ID: "n", Overlay: o.Overlay, Gateway: o.Gateway, Encryption: o.Encryption, Guard: o.Guard, MTU: o.MTU, Internal: o.Internal, IfPrefix: o.IfPrefix}
		if err := r.validate(); err != nil {
			t.Errorf("options %+v were accepted: %v", o, err)
		}
	})
}

func FuzzEndpointOptions(f *testing.F) {
	f.Add([]byte(`{"NetworkID":"n","EndpointID":"e","Interface":{"Address":"10.9.0.2/24","AddressIPv6":"fd00::2/64","MacAddress":"0a:00:00:00:00:01"},"Options":{"com.docker.network.endpoint.exposedports":[],"com.docker.network.endpoint.ifname":"lan0"}}`))
	f.Add([]byte(`{"NetworkID":"n","EndpointID":"e","Interface":{"Address":"::ffff:10.9.0.2/120"},"Options":{"evio.overlay":"x"}}`))
	f.Add([]byte(`{"NetworkID":"n","EndpointID":"e","Interface":null,"Options":{"com.docker.network.generic":{"evio.mtu":1}}}`))
	f.Add([]byte(`{"NetworkID":"n","EndpointID":"e","Interface":{"MacAddress":"01:00:00:00:00:00"}}`))
	d := &Driver{engineID: "engine"}
	n := networkRecord{ID: "n", Gateway: plane.GatewayDocker, Encryption: plane.EncryptionRequired, Guard: plane.GuardClaim, MTU: defaultMTU}
	f.Fuzz(func(t *testing.T, body []byte) {
		var req docker.CreateEndpointRequest
		if json.Unmarshal(body, &req) != nil || checkID("endpoint", req.EndpointID) != nil {
			return
		}
		name, err := checkEndpointOptions(req.Options, engineVersion{})
		if err != nil {
			return
		}
		rec, err := d.newEndpointRecord(&req, &n)
		if err != nil {
			if text := sentence(err); text == "" || strings.ContainsAny(text, "\n\r") {
				t.Errorf("no sentence: %q", text)
			}
			return
		}
		rec.IfName = name
		if err := rec.validate(); err != nil {
			t.Errorf("%s was accepted: %v", body, err)
		}
	})
}
