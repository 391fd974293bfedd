//go:build e2e

package testbed

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

// traces is how a lab can be recognised on the host.
type traces struct {
	ID, Dir    string
	Reaper     int
	Namespaces int               // that the host has not
	Processes  map[string]string // in them: directory in /proc to start time
}

// tracesOf takes processes and not namespaces to be recognised by: the kernel gives the number of
// a namespace that has ended to the next one.
func tracesOf(lab *Lab) (traces, error) {
	own, err := namespaces("/proc/self")
	if err != nil {
		return traces{}, err
	}
	t := traces{ID: lab.id, Dir: lab.dir, Reaper: lab.reaper.Process.Pid, Processes: map[string]string{}}
	var foreign []string
	for _, m := range lab.machines {
		all, err := namespaces(fmt.Sprintf("/proc/%d", m.pid))
		if err != nil {
			return traces{}, err
		}
		for _, ns := range all {
			if !slices.Contains(own, ns) && !slices.Contains(foreign, ns) {
				foreign = append(foreign, ns)
			}
		}
	}
	t.Namespaces = len(foreign)
	processes, err := filepath.Glob("/proc/[0-9]*")
	for _, p := range processes {
		all, _ := namespaces(p) // it may end meanwhile
		if slices.ContainsFunc(all, func(ns string) bool { return slices.Contains(foreign, ns) }) {
			t.Processes[p] = started(p)
		}
	}
	return t, err
}

// started is when a process started, in ticks, or empty for none.
func started(process string) string {
	stat, _ := os.ReadFile(filepath.Join(process, "stat"))
	_, after, _ := strings.Cut(string(stat), ") ") // the name may have blanks in it
	if fields := strings.Fields(after); len(fields) > 19 {
		return fields[19]
	}
	return ""
}

func namespaces(process string) ([]string, error) {
	links, err := filepath.Glob(filepath.Join(process, "ns", "*"))
	if err != nil {
		return nil, err
	}
	var all []string
	for _, link := range links {
		ns, err := os.Readlink(link)
		if err != nil {
			return nil, err
		}
		all = append(all, ns)
	}
	return all, nil
}

// left lists what of a lab is still on the host.
func (l traces) left() []string {
	var found []string
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range processes {
		if start := l.Processes[p]; start != "" && start == started(p) {
			found = append(found, p+" was in one of its namespaces")
		}
		for _, f := range []string{"cmdline", "environ", "cgroup"} {
			if data, _ := os.ReadFile(filepath.Join(p, f)); strings.Contains(string(data), l.ID) {
				found = append(found, p+"/"+f+" names it: "+strings.ReplaceAll(string(data), "\x00", " "))
			}
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(mounts), l.ID) {
		found = append(found, fmt.Sprintf("mounts: %v %s", err, mounts))
	}
	for _, pattern := range []string{l.Dir, "/sys/fs/cgroup/" + l.ID, "/sys/fs/cgroup/*/" + l.ID} {
		dirs, _ := filepath.Glob(pattern)
		found = append(found, dirs...)
	}
	return found
}

// host is what a lab must not change.
type host struct {
	Interfaces, Named []string
	Mounts            string
}

func hostNow(t *testing.T) host {
	t.Helper()
	var h host
	for _, i := range must(net.Interfaces())(t) {
		h.Interfaces = append(h.Interfaces, i.Name)
	}
	h.Named = must(filepath.Glob("/run/netns/*"))(t)
	h.Mounts = string(must(os.ReadFile("/proc/self/mountinfo"))(t))
	return h
}

// busyLab is a lab in which everything runs that could stay behind, a frozen container with it.
func busyLab(ctx context.Context) (*Lab, error) {
	lab, err := New(ctx, Options{})
	if err != nil {
		return nil, err
	}
	err = lab.AddSites(ctx, SiteConfig{Name: "a"}, SiteConfig{Name: "b", NAT: Symmetric})
	if err == nil {
		s := lab.Site("a")
		err = s.StartEngine(ctx, EngineOptions{LiveRestore: true})
		for _, command := range []string{
			"network create other", "run -d --name awake --network other " + Image,
			"run -d --name frozen " + Image, "pause frozen",
		} {
			if err == nil {
				_, err = s.Docker(ctx, strings.Fields(command)...)
			}
		}
		if err == nil {
			_, err = s.Router.Capture(ctx, "wan", "")
		}
	}
	if err != nil {
		return nil, errors.Join(err, lab.Close())
	}
	return lab, nil
}

func TestCloseLeavesNothing(t *testing.T) {
	before := hostNow(t)
	lab := must(busyLab(within(t, time.Minute)))(t)
	trace, err := tracesOf(lab)
	if err != nil || trace.Namespaces < 5*6 || len(trace.Processes) < 5*2 {
		t.Errorf("five machines: %+v, %v", trace, err)
	}
	if diff := cmp.Diff(before, hostNow(t)); diff != "" {
		t.Errorf("an open lab changes the host (-before +now):\n%s", diff)
	}
	began := time.Now()
	check(t, lab.Close())
	t.Logf("closed in %v", time.Since(began))
	if left := trace.left(); len(left) > 0 {
		t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
	}
	if diff := cmp.Diff(before, hostNow(t)); diff != "" {
		t.Errorf("a closed lab has changed the host (-before +after):\n%s", diff)
	}
	check(t, lab.Close())
	if _, err := lab.AddSite(t.Context(), SiteConfig{Name: "late"}); !errors.Is(err, errClosed) {
		t.Errorf("AddSite after Close: %v, want %v", err, errClosed)
	}
}

func TestFailedStartLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	stop := time.AfterFunc(700*time.Millisecond, cancel)
	defer stop.Stop()
	if _, err := New(ctx, Options{Dir: dir}); !errors.Is(err, context.Canceled) {
		t.Errorf("New with an ended context: %v", err)
	}
	if left := must(os.ReadDir(dir))(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// ownerEnv makes the test binary open a lab, tell its traces and wait for its death.
const ownerEnv = "EVIO_TESTBED_OWNER"

func TestMain(m *testing.M) {
	if os.Getenv(ownerEnv) == "" {
		goleak.VerifyTestMain(m)
	}
	lab, err := busyLab(context.Background())
	if err == nil {
		var trace traces
		if trace, err = tracesOf(lab); err == nil {
			err = json.NewEncoder(os.Stdout).Encode(trace)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // for ever
	os.Exit(1)
}

// owned starts a process that owns a lab.
func owned(t *testing.T) (*exec.Cmd, traces) {
	t.Helper()
	owner := exec.CommandContext(within(t, time.Minute), os.Args[0])
	owner.Env = append(os.Environ(), ownerEnv+"=1")
	owner.Stderr = t.Output()
	_ = must(owner.StdinPipe())(t)
	out := must(owner.StdoutPipe())(t)
	check(t, owner.Start())
	line := must(bufio.NewReader(out).ReadBytes('\n'))(t)
	var trace traces
	check(t, json.Unmarshal(line, &trace))
	if len(trace.left()) == 0 {
		t.Error("an open lab has no traces: this test sees nothing")
	}
	return owner, trace
}

// await waits until f is empty.
func await(t *testing.T, f func() []string) {
	t.Helper()
	ctx, began := within(t, 15*time.Second), time.Now()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		left := f()
		if len(left) == 0 {
			t.Logf("gone after %v", time.Since(began))
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("left behind:\n%s", strings.Join(left, "\n"))
		}
	}
}

func TestKilledOwnerLeavesNothing(t *testing.T) {
	before := hostNow(t)
	owner, trace := owned(t)
	check(t, owner.Process.Kill())
	_ = owner.Wait() // killed
	await(t, trace.left)
	if diff := cmp.Diff(before, hostNow(t)); diff != "" {
		t.Errorf("the host has changed (-before +after):\n%s", diff)
	}
}

// Where the reaper was killed as well, processes end all the same, and the next lab sweeps.
func TestNextLabSweeps(t *testing.T) {
	owner, trace := owned(t)
	check(t, syscall.Kill(trace.Reaper, syscall.SIGKILL))
	check(t, owner.Process.Kill())
	_ = owner.Wait() // killed
	lab := must(New(within(t, time.Minute), Options{}))(t)
	await(t, trace.left)
	check(t, lab.Close())
}
