//go:build component

package network

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"evio/overlay/overlaytest"
)

// hostSwitch is an Open vSwitch as a distribution runs it.
type hostSwitch struct {
	t      *testing.T
	dir    string
	db, sw *exec.Cmd
}

func newHostSwitch(t *testing.T) *hostSwitch {
	t.Helper()
	dir, err := os.MkdirTemp("/run", "host") //nolint:usetesting // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	h := &hostSwitch{t: t, dir: dir}
	run(t, "ovsdb-tool", "create", dir+"/conf.db", "/usr/share/openvswitch/vswitch.ovsschema")
	h.startDatabase()
	h.vsctl("--no-wait", "init")
	h.startSwitch()
	return h
}

func (h *hostSwitch) vsctl(args ...string) {
	h.t.Helper()
	run(h.t, "ovs-vsctl", append([]string{"--timeout=10", "--db=unix:" + h.dir + "/db.sock"}, args...)...)
}

func (h *hostSwitch) startDatabase() {
	h.t.Helper()
	h.db = h.spawn("ovsdb-server", h.dir+"/conf.db", "--remote=punix:"+h.dir+"/db.sock")
	eventually(h.t, "the database answers", func() bool {
		return exec.Command("ovs-vsctl", "--timeout=1", "--no-wait", "--db=unix:"+h.dir+"/db.sock", "show").Run() == nil
	})
}

func (h *hostSwitch) startSwitch() {
	h.t.Helper()
	h.sw = h.spawn("ovs-vswitchd", "unix:"+h.dir+"/db.sock")
}

func (h *hostSwitch) spawn(name string, args ...string) *exec.Cmd {
	h.t.Helper()
	cmd := exec.Command(name, append(args, "--pidfile", "-vconsole:off", "-vsyslog:off", "-vfile:off")...)
	cmd.Env = append(os.Environ(), "OVS_RUNDIR="+h.dir, "OVS_LOGDIR="+h.dir, "OVS_DBDIR="+h.dir)
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { end(cmd) })
	return cmd
}

func end(cmd *exec.Cmd) {
	_ = cmd.Process.Kill() // it may have ended
	_ = cmd.Wait()         // that it was killed is known
}

// TestHostSwitchRestarts kills the programs of the host's Open vSwitch: containers of
// one engine, and of two, talk again within 5 s. Then the plugin ends and comes back.
func TestHostSwitchRestarts(t *testing.T) {
	h := newHostSwitch(t)
	server := overlaytest.New()
	a, b := newRigOn(t, server, "a", 1, h), newRigOn(t, server, "b", 2, h)
	server.Befriend(a.jid(), b.jid())
	a.addNetwork("blue")
	b.addNetwork("blue")
	linked(t, a, b)
	one, two, far := a.box(1), a.box(2), b.box(3)
	for _, c := range []*box{one, two, far} {
		c.attach()
	}
	within(t, "at first", 20*time.Second, time.Now(), one, two, far)

	for _, what := range []struct {
		name string
		do   func()
	}{
		{"ovs-vswitchd", func() { end(h.sw); h.startSwitch() }},
		{"ovsdb-server", func() { end(h.db); h.startDatabase() }},
		{"both", func() { end(h.sw); end(h.db); h.startDatabase(); h.startSwitch() }},
	} {
		recovers(t, "the host's "+what.name, what.do, one, two, far)
		nothingStale(t, a, b)
	}
	t.Run("the plugin ends and comes back", func(t *testing.T) { testNothingIsLost(t, a, one, two) })
	recovers(t, "the plugin on the host's Open vSwitch", func() {}, one, two, far)
	nothingStale(t, a, b)
	// The kernel keeps the devices of bridges when their switch is killed.
	if err := errors.Join(a.plane.RemoveNetwork(t.Context(), netID), b.plane.RemoveNetwork(t.Context(), netID)); err != nil {
		t.Error(err)
	}
	if left := devices(t); len(left) != 0 {
		t.Errorf("devices left: %v", left)
	}
}

// testNothingIsLost pings all the time from one container to the other while the plugin
// ends and comes back.
func testNothingIsLost(t *testing.T, r *rig, one, two *box) {
	const apart = 10 * time.Millisecond
	ping := exec.Command("ip", "netns", "exec", one.ns, "ping", "-n", "-W", "1", "-i", fmt.Sprint(apart.Seconds()), two.addr4().String())
	out, err := ping.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := ping.Start(); err != nil {
		t.Fatal(err)
	}
	defer end(ping)
	// answered returns the number of the next answer; they come in order.
	lines := bufio.NewScanner(out)
	answered := func() int {
		for lines.Scan() {
			if _, rest, ok := strings.Cut(lines.Text(), "icmp_seq="); ok {
				number, _, _ := strings.Cut(rest, " ")
				if n, err := strconv.Atoi(number); err == nil {
					return n
				}
			}
		}
		t.Fatal("ping ended")
		return 0
	}
	ports, first := r.ports(), answered()
	began := time.Now()
	r.stop()
	down := time.Since(began)
	// The switch serves while nobody looks after it.
	last, lost := first, 0
	next := func() {
		n := answered()
		lost += n - last - 1
		last = n
	}
	for range int(time.Second / apart) {
		next()
	}
	r.start()
	r.restoreNetwork("blue", one, two)
	took := time.Since(began)
	// Those that were asked meanwhile, and some more.
	for last < first+int(took/apart)+20 {
		next()
	}
	t.Logf("the plugin had ended after %v and was back after %v: %d of %d answers lost",
		down.Round(time.Millisecond), took.Round(time.Millisecond), lost, last-first)
	if lost > 0 {
		t.Errorf("%d of %d answers were lost", lost, last-first)
	}
	for _, p := range []string{one.spec.HostIf, two.spec.HostIf} {
		if !strings.Contains(strings.Join(ports, " "), p) || !strings.Contains(strings.Join(r.ports(), " "), p) {
			t.Errorf("ports %v before, %v after", ports, r.ports())
		}
	}
}
