//go:build component

package ovs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPortsAreShieldedBeforeFlowsLeadToThem looks at the shields in the moment in which
// the flows are changed: putting one on costs frames that are under way on the device.
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
    tc filter show dev "$dev" ingress 2>/dev/null | grep -q evio && on="$on $dev"
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
