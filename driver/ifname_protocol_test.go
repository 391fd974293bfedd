package driver_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const ifName = "com.docker.network.endpoint.ifname"

// named is a request to create an endpoint whose interface has a name of the user's.
func named(id, address, name string) m {
	req := createEndpoint(net1, id, address, "")
	req["Options"].(m)[ifName] = name //nolint:forcetypeassert // createEndpoint makes it so
	return req
}

func (r *rig) joined(id string) m {
	r.t.Helper()
	name, _ := r.ok("Join", join(net1, id))["InterfaceName"].(m)
	delete(name, "SrcName")
	return name
}

// TestInterfaceNameIsKept: the name outlives the plugin between CreateEndpoint and Join, and the
// network's prefix does as well.
func TestInterfaceNameIsKept(t *testing.T) {
	r := newRig(t).start()
	r.ok("CreateNetwork", createNetwork(net1, "com.docker.network.container_iface_prefix=lan"))
	r.ok("CreateNetwork", createNetwork(net1, "com.docker.network.container_iface_prefix=lan"))
	r.refusedWith("CreateNetwork", createNetwork(net1, "com.docker.network.container_iface_prefix=wan"), "other settings")
	r.ok("CreateEndpoint", named(ep1, "10.9.0.2/24", "store"))
	r.ok("CreateEndpoint", named(ep1, "10.9.0.2/24", "store"))
	r.refusedWith("CreateEndpoint", named(ep1, "10.9.0.2/24", "stare"), "another interface name")
	r.ok("CreateEndpoint", createEndpoint(net1, ep2, "10.9.0.3/24", ""))
	r.restart()
	if diff := cmp.Diff(m{"DstPrefix": "store", "DstName": "store"}, r.joined(ep1)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(m{"DstPrefix": "lan"}, r.joined(ep2)); diff != "" {
		t.Error(diff)
	}
}

// warnings returns what the log says about names of interfaces.
func (r *rig) warnings() []string {
	var found []string
	for _, e := range r.logs.AllEntries() {
		if e.Level.String() == "warning" && strings.Contains(e.Message, "may get another number") {
			found = append(found, e.Message)
		}
	}
	return found
}

// TestOldEngineNumbersInterfaces: where the engine numbers interfaces itself, names that it never
// comes to are refused and others are warned of.
func TestOldEngineNumbersInterfaces(t *testing.T) {
	r := newRig(t)
	r.engine.SetVersion("28.5.2+dfsg4")
	r.start()
	eventually(t, "the engine's version is known", func() bool { return r.engine.Lists() > 0 })
	r.ok("CreateNetwork", createNetwork(net1))
	r.refusedWith("CreateEndpoint", named(ep1, "10.9.0.2/24", "store"), ifName, "28.5.2+dfsg4", "29.8")
	r.ok("CreateEndpoint", named(ep1, "10.9.0.2/24", "lan0"))
	r.ok("CreateEndpoint", named(ep2, "10.9.0.3/24", "wan0"))
	r.joined(ep1)
	r.joined(ep2)
	if w := r.warnings(); len(w) != 0 {
		t.Errorf("a prefix each: %q", w)
	}
	r.ok("Leave", ids(net1, ep1))
	r.ok("Leave", ids(net1, ep2))
	r.ok("DeleteEndpoint", ids(net1, ep2))
	r.ok("CreateEndpoint", named(ep2, "10.9.0.3/24", "lan1"))
	if diff := cmp.Diff(m{"DstPrefix": "lan", "DstName": "lan1"}, r.joined(ep2)); diff != "" {
		t.Error(diff)
	}
	r.joined(ep1) // shares the prefix with the other one
	const why = " may get another number: Docker 28.5.2+dfsg4 numbers interfaces itself, so give each one of a container a prefix of its own and the number 0, such as lan0 and wan0"
	if diff := cmp.Diff([]string{"interface lan1" + why, "interface lan0" + why}, r.warnings()); diff != "" {
		t.Error(diff)
	}
	// The engine starts anew and is another one.
	r.engine.SetVersion("29.8.0")
	looks := r.engine.Lists()
	r.ok("GetCapabilities", m{})
	eventually(t, "the engine is asked again", func() bool { return r.engine.Lists() > looks })
	r.ok("Leave", ids(net1, ep2))
	r.ok("DeleteEndpoint", ids(net1, ep2))
	r.ok("CreateEndpoint", named(ep2, "10.9.0.3/24", "store"))
	r.joined(ep2)
	if w := r.warnings(); len(w) != 2 {
		t.Errorf("an engine that takes names: %q", w)
	}
}
