package driver_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	docker "github.com/docker/go-plugins-helpers/network"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"evio/driver/drivertest"
)

func TestRestartRestoresWhatLives(t *testing.T) {
	r := newRig(t).start()
	r.ok("CreateNetwork", createNetwork(net1, "evio.overlay=t1", "com.docker.network.driver.mtu=9000", "evio.gateway=none"))
	r.ok("CreateEndpoint", createEndpoint(net1, ep1, "10.9.0.2/24", ""))
	r.ok("Join", join(net1, ep1))
	r.ok("CreateEndpoint", createEndpoint(net1, ep2, "10.9.0.3/24", ""))
	r.ok("Join", join(net1, ep2))
	r.ok("CreateEndpoint", createEndpoint(net1, "not-joined", "10.9.0.4/24", ""))
	netBefore, _ := r.plane.Network(net1)
	epBefore, _ := r.plane.Endpoint(net1, ep1)

	r.links = func(name string) bool { return name == epBefore.HostIf } // the other's container is dead
	r.restart()
	eventually(t, "the living endpoint is adopted", func() bool { _, ok := r.plane.Endpoint(net1, ep1); return ok })
	netAfter, _ := r.plane.Network(net1)
	epAfter, _ := r.plane.Endpoint(net1, ep1)
	netBefore.Adopt, epBefore.Adopt = true, true
	if diff := cmp.Diff(fmt.Sprint(netBefore, epBefore), fmt.Sprint(netAfter, epAfter)); diff != "" {
		t.Error(diff)
	}
	r.wantSizes(1, 1, 4)

	// The container that died comes back with a new endpoint, the same address.
	r.ok("CreateEndpoint", createEndpoint(net1, "ep3", "10.9.0.3/24", ""))
	r.ok("Join", join(net1, "ep3"))
	r.wantSizes(1, 2, 4)
	r.ok("Leave", ids(net1, ep2))
	r.ok("DeleteEndpoint", ids(net1, ep2))
	r.ok("Join", join(net1, "not-joined"))
	r.ok("Leave", ids(net1, ep1))
	r.ok("DeleteEndpoint", ids(net1, ep1))
	r.ok("DeleteNetwork", m{"NetworkID": net1})
	r.wantSizes(0, 0, 0)
}

// A container of a killed engine is started anew while the kernel still takes its old
// interface down.
func TestDyingContainerGivesWay(t *testing.T) {
	r := newRig(t)
	var dead atomic.Bool
	r.links = func(name string) bool { return r.plane.HasLink(name) && !dead.Load() }
	r.start()
	r.ok("CreateNetwork", createNetwork(net1))
	r.ok("CreateEndpoint", createEndpoint(net1, ep1, "10.9.0.2/24", ""))
	r.ok("Join", join(net1, ep1))
	time.AfterFunc(200*time.Millisecond, func() { dead.Store(true) })
	r.ok("CreateEndpoint", createEndpoint(net1, ep2, "10.9.0.2/24", ""))
	if !dead.Load() {
		t.Error("a living container lost its address")
	}
	r.wantSizes(1, 0, 2)
}

// Each file of the store is damaged in turn: the rest is loaded, the damage told.
func TestDamagedStore(t *testing.T) {
	r := newRig(t).start()
	r.ok("CreateNetwork", createNetwork(net1, "evio.overlay=t1"))
	r.ok("CreateEndpoint", createEndpoint(net1, ep1, "10.9.0.2/24", ""))
	r.ok("CreateNetwork", createNetwork(net2, "evio.overlay=t2"))
	r.stop()
	files, err := filepath.Glob(filepath.Join(r.dir, "network", "*.json"))
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	for i, content := range []string{"", `{"version":1}`} {
		if err := os.WriteFile(files[i], []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.plane = &drivertest.Plane{}
	r.start()
	if faults := r.driver.Faults(); len(faults) != 3 { // the endpoint has no network any more
		t.Errorf("faults %q", faults)
	}
	r.ok("CreateNetwork", createNetwork(net1, "evio.overlay=t1"))
	r.wantSizes(1, 0, 1)
	aside, err := filepath.Glob(filepath.Join(r.dir, "*", "*.json.corrupt-*"))
	if err != nil || len(aside) != 3 {
		t.Errorf("set aside: %v, %v", aside, err)
	}
	if r.plane.Owners() != nil {
		t.Error("what the store has lost may be removed")
	}
}

// A network's file of a newer version stays, and so do those of its endpoints: both are
// there again after the next upgrade.
func TestDowngradeKeepsEndpoints(t *testing.T) {
	r := newRig(t).start()
	r.ok("CreateNetwork", createNetwork(net1))
	r.ok("CreateEndpoint", createEndpoint(net1, ep1, "10.9.0.2/24", ""))
	r.stop()
	files, err := filepath.Glob(filepath.Join(r.dir, "network", "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	whole, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	newer, err := ofNextVersion(whole)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files[0], newer, 0o600); err != nil {
		t.Fatal(err)
	}
	r.plane = &drivertest.Plane{}
	r.start()
	r.ok("Leave", ids(net1, ep1)) // it is not known, so that is no error
	if faults := r.driver.Faults(); len(faults) != 1 || r.plane.Owners() != nil {
		t.Errorf("faults %q, owners %v", faults, r.plane.Owners())
	}
	r.stop()
	if err := os.WriteFile(files[0], whole, 0o600); err != nil {
		t.Fatal(err)
	}
	r.plane = &drivertest.Plane{}
	r.start()
	eventually(t, "the network runs", func() bool { _, ok := r.plane.Network(net1); return ok })
	r.wantSizes(1, 0, 2)
}

// ofNextVersion makes of a file of the store what a later version may write.
func ofNextVersion(file []byte) ([]byte, error) {
	var e struct {
		Version int             `json:"version"`
		Kind    string          `json:"kind"`
		ID      string          `json:"id"`
		SHA256  string          `json:"sha256"`
		Body    json.RawMessage `json:"body"`
	}
	if err := json.Unmarshal(file, &e); err != nil {
		return nil, err
	}
	e.Version++
	h := sha256.New()
	for _, part := range []string{strconv.Itoa(e.Version), e.Kind, e.ID, string(e.Body)} {
		h.Write(fmt.Appendf(nil, "%d:%s", len(part), part))
	}
	e.SHA256 = hex.EncodeToString(h.Sum(nil))
	return json.Marshal(e)
}

func TestStoreThatCannotBeRead(t *testing.T) {
	r := newRig(t)
	r.prepare()
	if err := os.RemoveAll(filepath.Join(r.dir, "network")); err != nil {
		t.Fatal(err)
	}
	d := r.driver
	d.Start(t.Context())
	err := d.CreateNetwork(t.Context(), &docker.CreateNetworkRequest{NetworkID: net1})
	if err == nil || !strings.Contains(err.Error(), "load stored network: ") {
		t.Errorf("error %v", err)
	}
	if err := d.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

var errSwitch = errors.New("Open vSwitch is not reachable at /run/openvswitch/db.sock: start it") //nolint:staticcheck // a proper name

// The switch is missing when the plugin starts. Calls wait for it within their
// deadlines and say so; when it comes, everything does.
func TestSwitchComesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		r := newRig(t)
		r.prepare()
		seed(t, r)
		r.plane = &drivertest.Plane{Hook: func(ctx context.Context, c drivertest.Call) error {
			if up.Load() {
				return nil
			}
			if c.Op == "AddNetwork" { // waits as the contract says
				<-ctx.Done()
			}
			return errSwitch
		}}
		d := r.prepare()
		d.Start(t.Context())

		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := d.Join(ctx, &docker.JoinRequest{NetworkID: net1, EndpointID: ep2})
		if !errors.Is(err, errSwitch) || time.Since(began) != 10*time.Second {
			t.Errorf("join: %v after %v", err, time.Since(began))
		}
		// What removes does not wait.
		began = time.Now()
		for _, err := range []error{
			d.Leave(t.Context(), &docker.LeaveRequest{NetworkID: net1, EndpointID: ep1}),
			d.DeleteEndpoint(t.Context(), &docker.DeleteEndpointRequest{NetworkID: net1, EndpointID: ep1}),
		} {
			if err != nil {
				t.Error(err)
			}
		}
		if waited := time.Since(began); waited != 0 {
			t.Errorf("Leave and DeleteEndpoint waited %v", waited)
		}
		if faults := d.Faults(); len(faults) != 1 || !strings.Contains(faults[0], errSwitch.Error()) {
			t.Errorf("faults %q", faults)
		}
		joined := make(chan error, 1)
		go func() {
			_, err := d.Join(t.Context(), &docker.JoinRequest{NetworkID: net1, EndpointID: ep2})
			joined <- err
		}()
		up.Store(true)
		if err := <-joined; err != nil {
			t.Errorf("join when the switch is there: %v", err)
		}
		if n, e := r.plane.Size(); n != 1 || e != 1 {
			t.Errorf("%d networks, %d endpoints", n, e)
		}
		if faults := d.Faults(); len(faults) != 0 {
			t.Errorf("faults %q", faults)
		}
		if err := d.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// seed leaves a store with a network, a joined endpoint and one that is not.
func seed(t *testing.T, r *rig) {
	t.Helper()
	d := r.driver
	d.Start(t.Context())
	if err := d.CreateNetwork(t.Context(), &docker.CreateNetworkRequest{
		NetworkID: net1, Options: map[string]any{"com.docker.network.generic": map[string]any{"evio.overlay": "t1"}},
	}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{ep1, ep2} {
		if _, err := d.CreateEndpoint(t.Context(), &docker.CreateEndpointRequest{NetworkID: net1, EndpointID: id}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.Join(t.Context(), &docker.JoinRequest{NetworkID: net1, EndpointID: ep1}); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A container that leaves while its network is handed to the plane with it is taken off
// again, and the containers of a network are there before the network is touched.
func TestLeaveDuringRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.prepare()
		seed(t, r)
		r.links = func(string) bool { return true }
		proceed := make(chan struct{})
		r.plane = &drivertest.Plane{Hook: func(_ context.Context, c drivertest.Call) error {
			if c.Op == "AddNetwork" && !c.Done {
				<-proceed
			}
			return nil
		}}
		d := r.prepare()
		d.Start(t.Context())
		synctest.Wait()
		if err := d.Leave(t.Context(), &docker.LeaveRequest{NetworkID: net1, EndpointID: ep1}); err != nil {
			t.Error(err)
		}
		close(proceed)
		synctest.Wait()
		if got := r.plane.Ops(); !slices.Equal(got, []string{"AddNetwork", "RemoveEndpoint"}) {
			t.Errorf("calls of the plane: %v", got)
		}
		if _, there := r.plane.Endpoint(net1, ep1); there {
			t.Error("a container that has left is on the bridge")
		}
		if err := d.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// The plane may remove what the driver does not know, from the first moment on in which
// it knows everything.
func TestOwners(t *testing.T) {
	r := newRig(t)
	var during map[string][]string
	r.plane.Hook = func(_ context.Context, c drivertest.Call) error {
		if c.Op == "AddNetwork" || c.Op == "RemoveNetwork" {
			during = r.plane.Owners()
		}
		return nil
	}
	r.start()
	want := func(what string, got, want map[string][]string) {
		t.Helper()
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	want("at first", r.plane.Owners(), map[string][]string{})
	r.ok("CreateNetwork", createNetwork(net1, "evio.overlay=t1"))
	want("while it is made", during, map[string][]string{net1: nil})
	r.ok("CreateEndpoint", createEndpoint(net1, ep1, "10.9.0.2/24", ""))
	want("before it joins", r.plane.Owners(), map[string][]string{net1: {ep1}})
	r.ok("DeleteEndpoint", ids(net1, ep1))
	r.ok("DeleteNetwork", m{"NetworkID": net1})
	want("while it is removed", during, map[string][]string{net1: nil})
	want("at last", r.plane.Owners(), map[string][]string{})
}

// A network that is being restored can be deleted, and one that cannot be adopted
// does not keep the rest waiting.
func TestRemovalDuringRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.prepare()
		seed(t, r)
		r.plane = &drivertest.Plane{Hook: func(ctx context.Context, c drivertest.Call) error {
			if c.Op == "AddNetwork" {
				<-ctx.Done()
				return errSwitch
			}
			return nil
		}}
		d := r.prepare()
		d.Start(t.Context())
		synctest.Wait()
		if err := d.DeleteNetwork(t.Context(), &docker.DeleteNetworkRequest{NetworkID: net1}); err != nil {
			t.Error(err)
		}
		r.wantSizes(0, 0, 0)
		if err := d.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestAdoptionIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.prepare()
		seed(t, r)
		left := 3
		r.links = func(string) bool { return true }
		r.plane = &drivertest.Plane{Hook: func(_ context.Context, c drivertest.Call) error {
			if c.Op == "AddEndpoint" && c.Endpoint == ep1 && !c.Done && left > 0 {
				left--
				return errSwitch
			}
			return nil
		}}
		d := r.prepare()
		d.Start(t.Context())
		synctest.Wait()
		if _, err := d.Join(t.Context(), &docker.JoinRequest{NetworkID: net1, EndpointID: ep2}); err != nil {
			t.Errorf("join beside: %v", err)
		}
		<-time.After(time.Minute) // of the bubble
		if ep, ok := r.plane.Endpoint(net1, ep1); !ok || !ep.Adopt {
			t.Errorf("endpoint %+v", ep)
		}
		if err := d.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Calls that come before Start wait for it.
func TestSocketFirst(t *testing.T) {
	r := newRig(t)
	d := r.prepare()
	created := make(chan error, 1)
	go func() {
		created <- d.CreateNetwork(t.Context(), &docker.CreateNetworkRequest{NetworkID: net1})
	}()
	d.Start(t.Context())
	if err := <-created; err != nil {
		t.Error(err)
	}
	if err := d.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
