//go:build component

package ovs

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"evio/datapath/netdev"
)

// hostSwitch starts an Open vSwitch as a distribution does, with names of sockets
// of its own choice.
type hostSwitch struct {
	dir string
	p   programs
	db  *exec.Cmd
	sw  *exec.Cmd
}

func startHost(t *testing.T) *hostSwitch {
	t.Helper()
	dir := runDir(t)
	h := &hostSwitch{dir: dir, p: programs{runDir: dir, starts: new(atomic.Uint64)}}
	run(t, "ovsdb-tool", "create", dir+"/conf.db", "/usr/share/openvswitch/vswitch.ovsschema")
	h.startDatabase(t)
	eventually(t, "the host's database", func() bool { return h.p.answers(t.Context()) == nil })
	run(t, "ovs-vsctl", "--db="+h.p.database(), "--no-wait", "init", "--", "set", "Open_vSwitch", ".",
		"other_config:vlan-limit=1", "ovs-version=3.1.0", "external_ids:system-id=host")
	h.sw = h.spawn(t, "ovs-vswitchd", h.p.database(), "--pidfile")
	return h
}

func (h *hostSwitch) startDatabase(t *testing.T) {
	t.Helper()
	h.db = h.spawn(t, "ovsdb-server", h.dir+"/conf.db", "--remote=punix:"+h.dir+"/db.sock", "--pidfile")
}

func (h *hostSwitch) spawn(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(name, append(args, "-vconsole:off", "-vsyslog:off", "-vfile:off")...)
	cmd.Env = h.p.env()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

func TestHostSwitchIsAdopted(t *testing.T) {
	h := startHost(t)
	hostctl := func(args ...string) string {
		return run(t, "ovs-vsctl", append([]string{"--db=" + h.p.database(), "--timeout=10"}, args...)...)
	}
	hostctl("add-br", "theirs", "--", "set", "Bridge", "theirs", "datapath_type=netdev")
	const settings = "other_config,external_ids"
	before := hostctl("--columns="+settings, "list", "Open_vSwitch") + hostctl("list", "Bridge", "theirs")

	s, err := Start(t.Context(), Config{HostRunDir: h.dir, RunDir: filepath.Join(h.dir, "unused"), Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	if got, want := s.Info(), (Info{Datapath: DatapathNetdev, Version: "3.1.0"}); got != want {
		t.Errorf("info %+v, want %+v", got, want)
	}
	if _, err := os.Stat(filepath.Join(h.dir, "unused")); !errors.Is(err, os.ErrNotExist) {
		t.Error("own processes were prepared")
	}
	a, b := newBox(t, "a", 1), newBox(t, "b", 2)
	for _, x := range []box{a, b} {
		x.enter(t, func() error { return netdev.LimitOffloads("eth0", netdev.NoOffloads) })
	}
	br := network("br0", a.port(), b.port())
	apply(t, s, br)
	mustPing(t, a, b)
	transfer(t, a, b, 10<<20)

	if err := s.Apply(t.Context(), network("theirs")); err == nil || !strings.Contains(err.Error(), "not evio's") {
		t.Errorf("a foreign bridge was taken: %v", err)
	}
	if err := s.Delete(t.Context(), "theirs"); err == nil {
		t.Error("a foreign bridge was deleted")
	}
	if names, err := s.Bridges(t.Context()); err != nil || !slices.Equal(names, []string{"br0"}) {
		t.Errorf("bridges %v, %v", names, err)
	}

	_ = h.sw.Process.Kill()
	_ = h.sw.Wait()
	h.sw = h.spawn(t, "ovs-vswitchd", h.p.database(), "--pidfile")
	awaitRestart(t, s)
	eventually(t, "apply after the host's restart", func() bool { return s.Apply(t.Context(), br) == nil })
	mustPing(t, a, b)

	if err := s.Delete(t.Context(), "br0"); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	s.Stop()
	after := hostctl("--columns="+settings, "list", "Open_vSwitch") + hostctl("list", "Bridge", "theirs")
	if d := cmp.Diff(before, after); d != "" {
		t.Errorf("the host's settings (-before +after):\n%s", d)
	}
}

// A host's database that was killed together with the plugin is waited for: two switches
// at once would take each other's devices.
func TestHostSwitchThatStartsIsAwaited(t *testing.T) {
	h := startHost(t)
	_ = h.db.Process.Kill()
	_ = h.db.Wait()
	started := make(chan error, 1)
	var s *Switch
	go func() {
		var err error
		s, err = Start(t.Context(), Config{HostRunDir: h.dir, RunDir: runDir(t), Log: testLog(t)})
		started <- err
	}()
	select {
	case err := <-started:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(2 * time.Second):
	}
	h.startDatabase(t)
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	if s.Info().Own {
		t.Error("the host's switch was not adopted")
	}
}

func TestDeadHostSocketStartsOwn(t *testing.T) {
	dir := runDir(t)
	if err := os.WriteFile(filepath.Join(dir, "db.sock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Start(t.Context(), Config{HostRunDir: dir, RunDir: runDir(t), Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	if !s.Info().Own {
		t.Error("a socket without a server was adopted")
	}
}

func TestUnreachableSwitchIsOneSentence(t *testing.T) {
	h := startHost(t)
	s, err := Start(t.Context(), Config{HostRunDir: h.dir, RunDir: runDir(t), Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	for _, program := range []struct {
		cmd  *exec.Cmd
		want string
	}{
		{h.sw, "apply bridge br0: ovs-vswitchd does not answer"},
		{h.db, "apply bridge br0: reach the database of Open vSwitch"},
	} {
		_ = program.cmd.Process.Kill()
		_ = program.cmd.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		err := s.Apply(ctx, network("br0"))
		cancel()
		if err == nil || strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), program.want) {
			t.Error(err)
		}
		t.Log(err)
	}
}
