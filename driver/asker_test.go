package driver_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	docker "github.com/docker/go-plugins-helpers/network"

	"evio/driver"
	"evio/driver/drivertest"
)

func overlayOf(r *rig, id string) string {
	spec, _ := r.plane.Network(id)
	return spec.Overlay
}

func TestDefaultOverlayIsTheNetworksName(t *testing.T) {
	r := newRig(t).start()
	r.ok("CreateNetwork", createNetwork(net1))
	if overlay := overlayOf(r, net1); overlay != "" {
		t.Errorf("overlay %q before Docker has told the name", overlay)
	}
	if nets := r.driver.Networks(); len(nets) != 1 || !nets[0].Local {
		t.Errorf("networks %+v", nets)
	}
	macBefore := answerMAC(r.ok("CreateEndpoint", createEndpoint(net1, ep1, "10.9.0.2/24", "")))
	r.engine.Name(net1, "blue")
	eventually(t, "overlay joined", func() bool { return overlayOf(r, net1) == "blue" })
	r.ok("DeleteEndpoint", ids(net1, ep1))
	if mac := answerMAC(r.ok("CreateEndpoint", createEndpoint(net1, ep1, "10.9.0.2/24", ""))); mac != macBefore {
		t.Errorf("MAC changed from %s to %s with the overlay's name", macBefore, mac)
	}
	r.ok("CreateNetwork", createNetwork(net1)) // the same request again
	r.refusedWith("CreateNetwork", createNetwork(net2, "evio.overlay=blue"), "overlay blue", "network blue")

	r.engine = &drivertest.Engine{}
	r.restart()
	eventually(t, "network runs again", func() bool { return overlayOf(r, net1) == "blue" })
	if asked := r.engine.Asked(); asked != 0 {
		t.Errorf("the name was stored, yet Docker was asked %d times", asked)
	}
}

func TestClashOfDefaultNameStaysLocal(t *testing.T) {
	r := newRig(t).start()
	r.ok("CreateNetwork", createNetwork(net1, "evio.overlay=blue"))
	r.engine.Name(net2, "blue")
	r.ok("CreateNetwork", createNetwork(net2))
	logged := func() bool {
		for _, e := range r.logs.AllEntries() {
			if e.Message == "network stays local" && strings.Contains(e.Data["error"].(error).Error(), "overlay blue") {
				return true
			}
		}
		return false
	}
	eventually(t, "log line", logged)
	if overlay := overlayOf(r, net2); overlay != "" {
		t.Errorf("overlay %q", overlay)
	}
	for _, n := range r.driver.Networks() {
		if n.ID == net2 && (n.Name != "blue" || !n.Local) {
			t.Errorf("%+v", n)
		}
	}
	r.restart()
	eventually(t, "log line after a restart", logged)
	if overlay := overlayOf(r, net2); overlay != "" {
		t.Errorf("overlay %q after a restart", overlay)
	}
	isFault(t, r, net2, "network blue: it reaches this engine only, because overlay blue is used by network")
	// The overlay is free when the other network is gone.
	r.ok("DeleteNetwork", m{"NetworkID": net1})
	r.restart()
	eventually(t, "overlay joined", func() bool { return overlayOf(r, net2) == "blue" })
	isNoFault(t, r)
}

// isFault: the network's fault, which is among the driver's, begins with a text and says
// what to do.
func isFault(t *testing.T, r *rig, id, text string) {
	t.Helper()
	faults := strings.Join(r.driver.Faults(), "\n")
	if !strings.HasPrefix(faults, text) || !strings.Contains(faults, "-o evio.overlay=NAME") {
		t.Errorf("faults %q", faults)
	}
	for _, n := range r.driver.Networks() {
		if n.ID == id && !strings.Contains(faults, n.Fault) || n.ID != id && n.Fault != "" {
			t.Errorf("network %s has fault %q", n.ID, n.Fault)
		}
	}
}

func isNoFault(t *testing.T, r *rig) {
	t.Helper()
	if f := r.driver.Faults(); len(f) != 0 {
		t.Errorf("faults %q", f)
	}
	for _, n := range r.driver.Networks() {
		if n.Fault != "" {
			t.Errorf("network %s has fault %q", n.ID, n.Fault)
		}
	}
}

// TestTakenOverlayBecomesFree: a network waits for the overlay of its name without a
// restart, and says so once.
func TestTakenOverlayBecomesFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		d := r.prepare()
		d.Start(t.Context())
		r.engine.Name(net1, "other")
		if err := d.CreateNetwork(t.Context(), &docker.CreateNetworkRequest{
			NetworkID: net1, Options: map[string]any{"com.docker.network.generic": map[string]any{"evio.overlay": "blue"}},
		}); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		r.engine.Name(net2, "blue")
		create(t, d, net2)
		<-time.After(time.Hour)
		isFault(t, r, net2, "network blue: it reaches this engine only, because overlay blue is used by network other")
		told := 0
		for _, e := range r.logs.AllEntries() {
			if e.Message == "network stays local" {
				told++
			}
		}
		if told != 1 {
			t.Errorf("logged %d times", told)
		}
		if err := d.DeleteNetwork(t.Context(), &docker.DeleteNetworkRequest{NetworkID: net1}); err != nil {
			t.Error(err)
		}
		<-time.After(10 * time.Second)
		if overlay := overlayOf(r, net2); overlay != "blue" {
			t.Errorf("overlay %q", overlay)
		}
		isNoFault(t, r)
		if err := d.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestNameThatNoOverlayCanHave(t *testing.T) {
	r := newRig(t).start()
	r.engine.Name(net1, "my network")
	r.ok("CreateNetwork", createNetwork(net1))
	eventually(t, "name known", func() bool { return r.driver.Networks()[0].Name == "my network" })
	if overlay := overlayOf(r, net1); overlay != "" {
		t.Errorf("overlay %q", overlay)
	}
	isFault(t, r, net1, "network my network: it reaches this engine only, because its name cannot be an overlay's")
	r.ok("DeleteNetwork", m{"NetworkID": net1})
	isNoFault(t, r)
}

// The engine answers late, the store and the plane fail a few times.
func TestOverlayJoinIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var puts, sets atomic.Int32
		r := newRig(t)
		r.store = &drivertest.Store{Hook: func(op, kind, _ string) error {
			if op == "Put" && kind == "network" {
				if n := puts.Add(1); n == 2 || n == 3 {
					return errInjected
				}
			}
			return nil
		}}
		r.plane.Hook = func(_ context.Context, c drivertest.Call) error {
			if c.Op == "SetOverlay" && !c.Done && sets.Add(1) < 3 {
				return errSwitch
			}
			return nil
		}
		d := r.prepare()
		d.Start(t.Context())
		create(t, d, net1)
		time.AfterFunc(10*time.Minute, func() { r.engine.Name(net1, "blue") })
		<-time.After(15 * time.Minute)
		if overlay := overlayOf(r, net1); overlay != "blue" {
			t.Errorf("overlay %q", overlay)
		}
		if n := r.engine.Asked(); n > 40 {
			t.Errorf("Docker was asked %d times in 10 minutes", n)
		}
		if err := d.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Deleting or closing ends the questions.
func TestQuestionsEndWithTheNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		d := r.prepare()
		d.Start(t.Context())
		create(t, d, net1)
		create(t, d, net2)
		<-time.After(time.Second)
		if err := d.DeleteNetwork(t.Context(), &docker.DeleteNetworkRequest{NetworkID: net1}); err != nil {
			t.Error(err)
		}
		if err := d.Close(t.Context()); err != nil {
			t.Error(err)
		}
		asked := r.engine.Asked()
		<-time.After(time.Hour)
		if n := r.engine.Asked(); n != asked {
			t.Errorf("asked %d times after the end", n-asked)
		}
	})
}

func networkRequest(id string) *docker.CreateNetworkRequest {
	return &docker.CreateNetworkRequest{NetworkID: id}
}

func create(t *testing.T, d *driver.Driver, id string) {
	t.Helper()
	if err := d.CreateNetwork(t.Context(), networkRequest(id)); err != nil {
		t.Fatal(err)
	}
}
