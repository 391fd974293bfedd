//go:build component

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"evio/datapath/netdev"
	"evio/driver/status"
)

// asEvio in the environment makes this test binary be evio.
const asEvio = "EVIO_TEST_IS_EVIO"

func TestMain(m *testing.M) {
	if os.Getenv(asEvio) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

type object = map[string]any

// process is evio as a process of its own, with an Open vSwitch of its own.
type process struct {
	t      *testing.T
	dir    string // of everything
	cmd    *exec.Cmd
	log    string
	client *http.Client
	ended  chan struct{}
	err    error
	began  time.Time
}

// workplace makes a folder with a short name, since there are sockets in it.
func workplace(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/run", "ev") //nolint:usetesting // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// start runs evio with its files in dir. env goes before what is set here; prefix is what
// it is run by, such as a shell that changes something first.
func start(t *testing.T, dir string, env []string, prefix ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := append(slices.Clone(prefix), self, "plugin")
	p := &process{t: t, dir: dir, log: filepath.Join(dir, "log"), ended: make(chan struct{})}
	p.cmd = exec.Command(args[0], args[1:]...)
	p.cmd.Env = append(os.Environ(), asEvio+"=1", "EVIO_SOCKET="+p.socket(), "EVIO_V1_NAMES=none", "EVIO_CONFIG="+filepath.Join(dir, "config.json"),
		"EVIO_STATE_DIR="+filepath.Join(dir, "state"), "EVIO_RUN_DIR="+filepath.Join(dir, "run"), "EVIO_OVS_RUNDIR=none", "EVIO_UDP_PORT=0",
		"EVIO_DOCKER_SOCKET="+filepath.Join(dir, "docker.sock"), "EVIO_LOG_LEVEL=debug")
	p.cmd.Env = append(p.cmd.Env, env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close() //nolint:errcheck // the process has its own descriptor
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", p.socket())
	}}}
	p.began = time.Now()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the process
		defer close(p.ended)
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.stop()
		text, err := os.ReadFile(p.log)
		if err != nil {
			t.Error(err)
		}
		for _, bad := range []string{"panic: ", "DATA RACE", "fatal error: "} {
			if bytes.Contains(text, []byte(bad)) {
				t.Errorf("%q in the log", bad)
			}
		}
		if t.Failed() {
			t.Logf("end of the log:\n%s", text[max(0, len(text)-6000):])
		}
	})
	await(t, 10*time.Second, "first answer", func() error {
		select {
		case <-p.ended:
			t.Fatalf("evio ended: %v", p.err)
		default:
		}
		return p.ok("GetCapabilities", nil)
	})
	return p
}

func (p *process) socket() string { return filepath.Join(p.dir, "driver.sock") }

// stop ends the process and returns how long that took.
func (p *process) stop() time.Duration {
	p.t.Helper()
	began := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
	select {
	case <-p.ended:
	case <-time.After(15 * time.Second):
		p.t.Error("evio does not end within 15 s")
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
	p.client.CloseIdleConnections()
	return time.Since(began)
}

// ok makes a call and returns what keeps it from success.
func (p *process) ok(method string, body any) error {
	ctx, cancel := context.WithTimeout(p.t.Context(), 25*time.Second)
	defer cancel()
	text, err := p.send(ctx, method, body)
	if err == nil && text != "" {
		err = errors.New(text)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	return nil
}

// must makes calls that have to succeed.
func (p *process) must(method string, body any) {
	p.t.Helper()
	if text := p.refusal(method, body); text != "" {
		p.t.Fatalf("%s: %s", method, text)
	}
}

// refused makes a call that has to fail with one sentence that has all parts.
func (p *process) refused(method string, body any, parts ...string) {
	p.t.Helper()
	text := p.refusal(method, body)
	p.t.Logf("%s: %s", method, text)
	if text == "" || strings.ContainsAny(text, "\n\r") {
		p.t.Errorf("%s: no sentence: %q", method, text)
	}
	for _, part := range parts {
		if !strings.Contains(text, part) {
			p.t.Errorf("%s: %q does not name %q", method, text, part)
		}
	}
}

// refusal makes a call and returns the sentence with which it was refused.
func (p *process) refusal(method string, body any) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 25*time.Second)
	defer cancel()
	text, err := p.send(ctx, method, body)
	if err != nil {
		p.t.Fatalf("%s: %v", method, err)
	}
	return text
}

// send makes a call as Docker does and returns the sentence with which it was refused.
func (p *process) send(ctx context.Context, method string, body any) (string, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://plugin/NetworkDriver."+method, bytes.NewReader(b))
	if err != nil {
		return "", err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close() //nolint:errcheck // only read from
	var answer struct{ Err string }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK && answer.Err == "" {
		return "", fmt.Errorf("code %d without a sentence", resp.StatusCode)
	}
	return answer.Err, nil
}

// status fetches the status document.
func (p *process) status() (status.Document, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), 5*time.Second)
	defer cancel()
	return status.Fetch(ctx, filepath.Join(p.dir, "run", "evio.sock"))
}

// comesBack waits until the process makes a network that it could not make before, without
// having been started anew; its sockets are away for a moment.
func (p *process) comesBack() {
	p.t.Helper()
	await(p.t, 3*stateRetry+10*time.Second, "the network is made", func() error { return p.ok("CreateNetwork", createNetwork(1)) })
	select {
	case <-p.ended:
		p.t.Fatalf("evio ended: %v", p.err)
	default:
	}
}

// tells waits until the faults have a sentence with all parts.
func (p *process) tells(parts ...string) {
	p.t.Helper()
	await(p.t, 10*time.Second, "faults", func() error {
		d, err := p.status()
		if err != nil {
			return err
		}
		for _, f := range d.Faults {
			if !strings.ContainsAny(f, "\n\r") && !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(f, part) }) {
				return nil
			}
		}
		return fmt.Errorf("faults %q name no %q", d.Faults, parts)
	})
}

// responsive checks that a healthy call is answered at once, and returns how soon.
func (p *process) responsive() time.Duration {
	p.t.Helper()
	best := time.Hour
	for range 5 {
		began := time.Now()
		if err := p.ok("GetCapabilities", nil); err != nil {
			p.t.Fatal(err)
		}
		best = min(best, time.Since(began))
	}
	if best > 100*time.Millisecond {
		p.t.Errorf("GetCapabilities is answered after %v", best)
	}
	return best
}

// inventory is what calls may leave behind.
type inventory struct {
	Devices, Files, Ports   []string
	Goroutines, Descriptors int
}

func (p *process) inventory() (inventory, error) {
	var i inventory
	d, err := p.status()
	if err != nil {
		return i, err
	}
	i.Goroutines, i.Descriptors = d.Process.Goroutines, d.Process.Descriptors
	for _, n := range d.Networks {
		i.Ports = append(i.Ports, n.Ports...)
	}
	all, err := netdev.Devices()
	if err != nil {
		return i, err
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if strings.HasPrefix(name, "ev") && !strings.HasPrefix(name, "evt") {
			i.Devices = append(i.Devices, name)
		}
	}
	for _, kind := range []string{"network", "endpoint"} {
		files, err := filepath.Glob(filepath.Join(p.dir, "state", "docker", kind, "*"))
		if err != nil {
			return i, err
		}
		i.Files = append(i.Files, files...)
	}
	slices.Sort(i.Devices)
	slices.Sort(i.Ports)
	return i, nil
}

// back waits until everything is as it was: names exactly, numbers to within 2.
func (p *process) back(to inventory) {
	p.t.Helper()
	await(p.t, 30*time.Second, "everything is as at the start", func() error {
		now, err := p.inventory()
		if err != nil {
			return err
		}
		for _, n := range [][2]int{{to.Goroutines, now.Goroutines}, {to.Descriptors, now.Descriptors}} {
			if n[1] > n[0]+2 {
				return fmt.Errorf("goroutines %d, were %d; descriptors %d, were %d", now.Goroutines, to.Goroutines, now.Descriptors, to.Descriptors)
			}
		}
		now.Goroutines, now.Descriptors = to.Goroutines, to.Descriptors
		if diff := cmp.Diff(to, now); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
}

func (p *process) mustInventory() inventory {
	p.t.Helper()
	p.client.CloseIdleConnections()
	i, err := p.inventory()
	if err != nil {
		p.t.Fatal(err)
	}
	return i
}

// await repeats f until it succeeds.
func await(t *testing.T, limit time.Duration, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v: %v", what, limit, err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// netID and epID are IDs like Docker's, by number.
func netID(n int) string { return fmt.Sprintf("%064x", 0xabc000+n) }
func epID(n int) string  { return fmt.Sprintf("%064x", 0xdef0000+n) }

func createNetwork(n int) object {
	return object{
		"NetworkID": netID(n),
		"Options":   object{"com.docker.network.generic": object{"evio.overlay": "t" + strconv.Itoa(n), "evio.gateway": "none"}},
		"IPv4Data":  []object{{"AddressSpace": "LocalDefault", "Pool": fmt.Sprintf("10.%d.0.0/16", n)}},
	}
}

func createEndpoint(n, e int) object {
	return object{
		"NetworkID": netID(n), "EndpointID": epID(e),
		"Interface": object{"Address": fmt.Sprintf("10.%d.%d.%d/16", n, e/200, 1+e%200)}, "Options": object{},
	}
}

func ids(n, e int) object { return object{"NetworkID": netID(n), "EndpointID": epID(e)} }

func join(n, e int) object {
	return object{"NetworkID": netID(n), "EndpointID": epID(e), "SandboxKey": "/var/run/docker/netns/x", "Options": object{}}
}
