//go:build component

package ovs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"evio/datapath/netdev"
)

// spyPath puts programs before those on PATH that note each start; the result
// tells how many there were since it was last asked.
func spyPath(t *testing.T) func() int {
	t.Helper()
	dir := t.TempDir()
	list := filepath.Join(dir, "starts")
	for _, name := range []string{"ovs-vsctl", "ovs-ofctl", "ovs-appctl"} {
		program, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		script := fmt.Sprintf("#!/bin/sh\necho %s >> %s\nexec %s \"$@\"\n", name, list, program)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return func() int {
		b, err := os.ReadFile(list)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		_ = os.Remove(list)
		return strings.Count(string(b), "\n")
	}
}

// readTable reads the flows of bridge br0 with their counters, by key.
func readTable(t *testing.T, s *Switch) map[string]entry {
	t.Helper()
	flows, err := s.dump(t.Context(), "br0")
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]entry{}
	for _, f := range flows {
		m[f.key()] = f
	}
	return m
}

func vsctl(t *testing.T, s *Switch, args ...string) string {
	t.Helper()
	return strings.TrimSpace(run(t, "ovs-vsctl", append([]string{"--db=" + s.programs.database(), "--timeout=10"}, args...)...))
}

// silent cuts a bridge's containers off from the host's devices, so that flow
// counters stand still.
func silent(t *testing.T, boxes ...box) {
	t.Helper()
	for _, b := range boxes {
		b.ip(t, "link", "set", "eth0", "down")
	}
}

func TestApplyIsIdempotent(t *testing.T) {
	starts := spyPath(t)
	s := start(t)
	a, b, c := newBox(t, "a", 1), newBox(t, "b", 2), newBox(t, "c", 3)
	starts()
	br := network("br0", a.port(), b.port())
	apply(t, s, br)
	if n := starts(); n > 3 { // database, fragments, flows
		t.Errorf("a new bridge took %d starts of programs", n)
	}
	mustPing(t, a, b)
	silent(t, a, b)
	serial := vsctl(t, s, "get", "Open_vSwitch", ".", "next_cfg")
	var before map[string]entry
	eventually(t, "counters stand still", func() bool {
		last := before
		before = readTable(t, s)
		return cmp.Equal(last, before)
	})
	starts()

	slices.Reverse(br.Ports)
	apply(t, s, br)
	if n := starts(); n != 0 {
		t.Errorf("no change took %d starts of programs", n)
	}
	if d := cmp.Diff(before, readTable(t, s)); d != "" {
		t.Errorf("flows or counters changed:\n%s", d)
	}
	if now := vsctl(t, s, "get", "Open_vSwitch", ".", "next_cfg"); now != serial {
		t.Errorf("the database was changed: %s, before %s", now, serial)
	}
	starts()
	found, err := s.Inspect(t.Context())
	if err != nil || len(found.Drifted) != 0 {
		t.Errorf("found %v, %v on a bridge that is right", found.Drifted, err)
	}
	if n := starts(); n != 1 {
		t.Errorf("a look took %d starts of programs", n)
	}
	s.doubt(s.bridges["br0"].memory)
	apply(t, s, br)
	if d := cmp.Diff(before, readTable(t, s)); d != "" {
		t.Errorf("doubt changed flows or counters of a table that was right:\n%s", d)
	}

	// An addition keeps the counters of what stays.
	starts()
	br.Ports = append(br.Ports, c.port())
	apply(t, s, br)
	if n := starts(); n > 2 {
		t.Errorf("a port more took %d starts of programs", n)
	}
	after := readTable(t, s)
	for key, e := range before {
		if after[key].Packets < e.Packets && after[key].Actions == e.Actions {
			t.Errorf("%s lost its count: %d, before %d", key, after[key].Packets, e.Packets)
		}
	}
	// Only an address more: no change of the database.
	starts()
	br.Ports[len(br.Ports)-1].Addrs = br.Ports[len(br.Ports)-1].Addrs[:1]
	apply(t, s, br)
	if n := starts(); n != 1 {
		t.Errorf("another address took %d starts of programs", n)
	}
}

// TestDeviceReplaced makes the device of a port anew under its name, as happens
// when a container is restarted.
func TestDeviceReplaced(t *testing.T) {
	s := start(t)
	a, b := newBox(t, "a", 1), newBox(t, "b", 2)
	br := network("br0", a.port(), b.port())
	apply(t, s, br)
	mustPing(t, a, b)
	a.plug(t)
	apply(t, s, br)
	mustPing(t, a, b)

	if err := netdev.Delete(a.host); err != nil {
		t.Fatal(err)
	}
	err := s.Apply(t.Context(), br)
	if err == nil || !strings.Contains(err.Error(), "port ha: there is no such device") {
		t.Errorf("a port without device: %v", err)
	}
	if ports, err := s.Ports(t.Context(), "br0"); err != nil || !slices.Equal(ports, []string{"hb"}) {
		t.Errorf("ports %v, %v", ports, err)
	}
	a.plug(t)
	apply(t, s, br)
	mustPing(t, a, b)
}

// TestPortThatCannotBeOpened has a port whose device exists and is refused by the
// switch: the others work, and the error names that one alone.
func TestPortThatCannotBeOpened(t *testing.T) {
	s := start(t)
	a, b := newBox(t, "a", 1), newBox(t, "b", 2)
	bad := Port{Name: "lo", Role: Container, MACs: []MAC{hw(9)}}
	for range 2 {
		err := s.Apply(t.Context(), network("br0", a.port(), bad, b.port()))
		var ports *PortsError
		if !errors.As(err, &ports) || len(ports.Ports) != 1 || ports.Ports["lo"] == nil || !strings.Contains(err.Error(), "port lo: ") {
			t.Fatalf("error %v", err)
		}
		mustPing(t, a, b)
	}
	apply(t, s, network("br0", a.port(), b.port()))
}

func pidOf(t *testing.T, s *Switch, program string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.programs.runDir, program+".pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func awaitRestart(t *testing.T, s *Switch) {
	t.Helper()
	select {
	case <-s.Restarted():
	case <-time.After(15 * time.Second):
		t.Fatal("no news of a restart within 15 s")
	}
}

func TestKilledProgramsComeBack(t *testing.T) {
	s := start(t)
	a, b := newBox(t, "a", 1), newBox(t, "b", 2)
	br := network("br0", a.port(), b.port())
	apply(t, s, br)
	mustPing(t, a, b)

	kills := []struct {
		name string
		do   func()
	}{
		{"ovs-vswitchd", func() { _ = syscall.Kill(pidOf(t, s, "ovs-vswitchd"), syscall.SIGKILL) }},
		{"ovsdb-server", func() { _ = syscall.Kill(pidOf(t, s, "ovsdb-server"), syscall.SIGKILL) }},
		{"database broken", func() {
			if err := os.WriteFile(filepath.Join(s.programs.runDir, "ovs.db"), []byte("OVSDB JSON garbage"), 0o600); err != nil {
				t.Fatal(err)
			}
			_ = syscall.Kill(pidOf(t, s, "ovsdb-server"), syscall.SIGKILL)
		}},
		{"ovs-vswitchd again", func() { _ = syscall.Kill(pidOf(t, s, "ovs-vswitchd"), syscall.SIGKILL) }},
	}
	for _, k := range kills {
		began := time.Now()
		k.do()
		awaitRestart(t, s)
		// More restarts may follow while a broken database is made anew.
		eventually(t, "apply after "+k.name, func() bool { return s.Apply(t.Context(), br) == nil })
		mustPing(t, a, b)
		t.Logf("%s: forwarding again after %v", k.name, time.Since(began).Round(time.Millisecond))
	}
	transfer(t, a, b, 10<<20) // segmentation is on again
}

// deviceNames returns the names of all network devices, sorted.
func deviceNames(t *testing.T) []string {
	t.Helper()
	all, err := netdev.Devices()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(all))
}

func TestManyPortsLeaveNothing(t *testing.T) {
	s := start(t)
	before := deviceNames(t)
	const count = 50
	br := network("br0")
	apply(t, s, br)
	empty := len(readTable(t, s))
	for i := range byte(count) {
		name := fmt.Sprintf("many%d", i)
		if err := netdev.CreateVeth(name, "c"+name, testMTU, hw(i)); err != nil {
			t.Fatal(err)
		}
		br.Ports = append(br.Ports, box{name: name, host: name, mac: hw(i)}.port())
	}
	began := time.Now()
	apply(t, s, br)
	t.Logf("%d ports, %d flows in %v", count, len(readTable(t, s)), time.Since(began).Round(time.Millisecond))
	began = time.Now()
	if found, err := s.Inspect(t.Context()); err != nil || len(found.Drifted) != 0 {
		t.Errorf("found %v, %v", found.Drifted, err)
	}
	t.Logf("looked at in %v", time.Since(began).Round(time.Millisecond))
	if ports, err := s.Ports(t.Context(), "br0"); err != nil || len(ports) != count {
		t.Errorf("%d ports, %v", len(ports), err)
	}
	for len(br.Ports) > 0 {
		n := max(0, len(br.Ports)-10)
		for _, p := range br.Ports[n:] {
			if err := netdev.Delete(p.Name); err != nil {
				t.Fatal(err)
			}
		}
		br.Ports = br.Ports[:n]
		apply(t, s, br)
	}
	if ports, err := s.Ports(t.Context(), "br0"); err != nil || len(ports) != 0 {
		t.Errorf("ports %v, %v", ports, err)
	}
	if n := len(readTable(t, s)); n != empty {
		t.Errorf("%d flows are left, %d at first", n, empty)
	}
	for range 2 {
		if err := s.Delete(t.Context(), "br0"); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := s.Bridges(t.Context()); err != nil || len(b) != 0 {
		t.Errorf("bridges %v, %v", b, err)
	}
	// The switch in user space keeps one device of its own.
	after := slices.DeleteFunc(deviceNames(t), func(n string) bool { return n == "ovs-netdev" && !slices.Contains(before, n) })
	if d := cmp.Diff(before, after); d != "" {
		t.Errorf("devices (-before +after):\n%s", d)
	}
}

func TestBridgesAtOnce(t *testing.T) {
	s := start(t)
	var all sync.WaitGroup
	for i := range 8 {
		for range 3 {
			all.Go(func() {
				if err := s.Apply(t.Context(), network(fmt.Sprintf("br%d", i))); err != nil {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
	if b, err := s.Bridges(t.Context()); err != nil || len(b) != 8 {
		t.Errorf("bridges %v, %v", b, err)
	}
}

// childVariable makes the test binary start a switch and wait to be killed.
const childVariable = "EVIO_TEST_SWITCH"

// TestChildrenDieWithTheProcess kills a process with a switch and looks for what
// it leaves.
func TestChildrenDieWithTheProcess(t *testing.T) {
	if dir := os.Getenv(childVariable); dir != "" {
		s, err := Start(context.Background(), Config{RunDir: dir, Log: testLog(t)}) // lives until it is killed
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("switch", pidOf(t, s, "ovsdb-server"), pidOf(t, s, "ovs-vswitchd")) //nolint:forbidigo // for the parent
		select {}
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestChildrenDieWithTheProcess$")
	cmd.Env = append(os.Environ(), childVariable+"="+runDir(t))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pids [2]int
	lines := bufio.NewScanner(out)
	for pids[1] == 0 && lines.Scan() {
		_, _ = fmt.Sscanf(lines.Text(), "switch %d %d", &pids[0], &pids[1])
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if pids[1] == 0 {
		t.Fatal("the child started no switch")
	}
	for _, pid := range pids {
		eventually(t, fmt.Sprintf("process %d ends", pid), func() bool {
			state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			return err != nil || strings.Contains(string(state), ") Z ")
		})
	}
}
