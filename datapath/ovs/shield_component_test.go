//go:build component

package ovs

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"evio/datapath/netdev"
	"evio/datapath/netdevtest"
)

// TestPortsAreShieldedBeforeFlowsLeadToThem looks at the shields in the moment in which
// the flows are changed.
func TestPortsAreShieldedBeforeFlowsLeadToThem(t *testing.T) {
	s := start(t)
	a := newBox(t, "a", 1)
	openTAP(t, "f0")
	seen := atFlows(t, a.host, "f0", "l0")
	step := func(what string, want []string, ports ...Port) {
		t.Helper()
		apply(t, s, network("br0", ports...))
		if got := seen(); len(got) != 1 || got[0] != strings.Join(want, " ") {
			t.Errorf("%s: flows were changed with shields on %q, want once and on %q", what, got, want)
		}
	}
	fabric, link := Port{Name: "f0", Role: Fabric}, Port{Name: "l0", Role: Link, MACs: []MAC{hw(9)}}
	step("a new bridge", []string{a.host, "f0"}, a.port(), fabric)
	openTAP(t, "l0")
	step("a link more", []string{a.host, "f0", "l0"}, a.port(), fabric, link)
}

// atFlows puts a program before ovs-ofctl that notes which of the devices are shielded
// when flows are to be changed. The result returns the notes since it was called last.
func atFlows(t *testing.T, devices ...string) func() []string {
	t.Helper()
	ofctl, err := exec.LookPath("ovs-ofctl")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	notes := filepath.Join(dir, "notes")
	script := `#!/bin/sh
case " $* " in *" --bundle "*)
  on=
  for dev in ` + strings.Join(devices, " ") + `; do
    [ -e /sys/class/net/$dev ] || continue # a chain of an earlier device may still be there
    nft list table netdev evio | grep "chain ${dev}_$(cat /sys/class/net/$dev/ifindex) " >/dev/null && on="$on $dev"
  done
  echo $on >>` + notes + ` ;;
esac
exec ` + ofctl + ` "$@"
`
	if err := os.WriteFile(filepath.Join(dir, "ovs-ofctl"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	read := 0
	return func() []string {
		t.Helper()
		text, err := os.ReadFile(notes)
		if err != nil {
			t.Fatal(err)
		}
		all := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		news := all[read:]
		read = len(all)
		return news
	}
}

// TestShieldsArePutBack: the switch's end and what administrators do to nftables leave no
// port without a shield.
func TestShieldsArePutBack(t *testing.T) {
	s := start(t)
	a, b := newBox(t, "a", 1), newBox(t, "b", 2)
	apply(t, s, network("br0", a.port(), b.port()))
	unshielded := func() []string {
		t.Helper()
		all, err := netdev.Devices()
		if err != nil {
			t.Fatal(err)
		}
		names, err := s.shields.Lacking([]netdev.Device{all[a.host], all[b.host]})
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	repair := func() map[string][]Drift {
		t.Helper()
		repaired, err := s.RepairShields()
		if err != nil {
			t.Fatal(err)
		}
		return repaired
	}
	if names := unshielded(); len(names) > 0 {
		t.Fatalf("not shielded: %v", names)
	}
	if repaired := repair(); len(repaired) > 0 {
		t.Errorf("repaired what is whole: %v", repaired)
	}
	pid := s.pid()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the switch runs again", func() bool { return s.pid() != pid && s.pid() != 0 })
	if names := unshielded(); len(names) > 0 {
		t.Errorf("not shielded after the switch was killed: %v", names)
	}
	<-s.Restarted()
	apply(t, s, network("br0", a.port(), b.port()))
	run(t, "nft", "flush", "ruleset")
	if repaired := repair(); len(repaired["br0"]) != 2 || repaired["br0"][0].Kind != DriftShield || repaired["br0"][0].Port != a.host {
		t.Errorf("repaired %v", repaired)
	}
	if names := unshielded(); len(names) > 0 {
		t.Errorf("not shielded after a repair: %v", names)
	}
	mustPing(t, a, b)
}

// TestPortWithoutShield: a port from which the kernel does not shield the host is down and
// not on the bridge, and the error says why; it comes as soon as it can be shielded. The
// refusals are the kernel's: of a table that another process owns, and of a BPF filter to a
// process without the capabilities for it.
func TestPortWithoutShield(t *testing.T) {
	const marker = "EVIO_TEST_WITHOUT_BPF"
	if os.Getenv(marker) == "" {
		cmd := exec.Command("capsh", "--drop=cap_sys_admin,cap_bpf", "--", "-c", `exec "$0" -test.v -test.run '^TestPortWithoutShield$'`, os.Args[0])
		cmd.Env = append(os.Environ(), marker+"=1")
		out, err := cmd.CombinedOutput()
		t.Logf("%s", out)
		if err != nil || !bytes.Contains(out, []byte("--- PASS: TestPortWithoutShield")) {
			t.Errorf("without the capabilities: %v", err)
		}
		return
	}
	s := start(t)
	for _, name := range []string{"ha", "hb"} {
		if err := netdev.CreateVeth(name, "c"+name, testMTU, hw(name[1])); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = netdev.Delete(name) })
		run(t, "ip", "link", "set", "c"+name, "up")
	}
	port := func(name string) Port { return Port{Name: name, Role: Container, MACs: []MAC{hw(name[1])}} }
	one, both := network("br0", port("ha")), network("br0", port("ha"), port("hb"))
	apply(t, s, one)

	run(t, "nft", "flush", "ruleset")
	release := netdevtest.Seize(t, "evio")
	var refused *PortsError
	if err := s.Apply(t.Context(), both); !errors.As(err, &refused) || len(refused.Ports) != 1 || refused.Ports["hb"] == nil {
		t.Fatalf("a port that cannot be shielded: %v", err)
	}
	t.Log(refused)
	on := func(name string) (bridge, up bool) {
		t.Helper()
		ports, err := s.Ports(t.Context(), "br0")
		if err != nil {
			t.Fatal(err)
		}
		all, err := netdev.Devices()
		if err != nil {
			t.Fatal(err)
		}
		return slices.Contains(ports, name), all[name].Ready
	}
	if bridge, up := on("hb"); bridge || up {
		t.Errorf("the port is on the bridge: %v, up: %v", bridge, up)
	}
	if repaired, err := s.RepairShields(); err != nil || len(repaired) != 1 || repaired["br0"] != nil {
		t.Errorf("the shield of a port was removed, and cannot be put back: %v, %v", repaired, err)
	}
	if err := s.Apply(t.Context(), both); !errors.As(err, &refused) || len(refused.Ports) != 2 {
		t.Fatalf("none can be shielded: %v", err)
	}
	if bridge, up := on("ha"); bridge || up {
		t.Errorf("the port is still on the bridge: %v, up: %v", bridge, up)
	}
	release()
	eventually(t, "the ports are there", func() bool { return s.Apply(t.Context(), both) == nil })
	for _, name := range []string{"ha", "hb"} {
		if bridge, up := on(name); !bridge || !up {
			t.Errorf("%s is on the bridge: %v, up: %v", name, bridge, up)
		}
	}
}
