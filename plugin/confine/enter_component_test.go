//go:build component

package confine

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// asPlugin in the environment makes this test binary confine itself to the folders that it
// holds as JSON, and then answer questions.
const asPlugin = "EVIO_TEST_CONFINES"

func TestMain(m *testing.M) {
	text := os.Getenv(asPlugin)
	if text == "" {
		os.Exit(m.Run())
	}
	var f Folders
	if err := json.Unmarshal([]byte(text), &f); err != nil {
		panic(err)
	}
	if err := Enter(f); err != nil {
		_, _ = fmt.Fprintf(os.Stdout, "%q\n", err.Error())
		return
	}
	answer(f.Prefix)
}

// answer carries out one command a line, and writes one line of JSON for each.
func answer(prefix string) {
	look, err := Look(prefix)
	out := json.NewEncoder(os.Stdout)
	if err := errors.Join(err, out.Encode(look)); err != nil {
		panic(err)
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		verb, p, _ := strings.Cut(lines.Text(), " ")
		var text string
		var err error
		switch verb {
		case "read":
			var b []byte
			b, err = os.ReadFile(p)
			text = string(b)
		case "list":
			var entries []os.DirEntry
			entries, err = os.ReadDir(p)
			for _, e := range entries {
				text += e.Name() + " "
			}
		case "write":
			err = os.WriteFile(p, []byte("written"), 0o600)
		case "call":
			var c net.Conn
			if c, err = net.Dial("unix", p); err == nil {
				b, _ := io.ReadAll(c)
				text = string(b)
			}
		case "mount":
			err = unix.Mount("tmpfs", p, "tmpfs", 0, "")
		case "hidden":
			var r Reach
			r, err = Look(prefix)
			text = strings.Join(r.Hidden, " ")
		case "threads":
			text, err = threads()
		}
		if err != nil {
			text = "error: " + err.Error()
		}
		if out.Encode(text) != nil {
			return
		}
	}
}

// threads lists the capabilities of every thread, after many have been made.
func threads() (string, error) {
	held := make(chan struct{})
	for range 8 {
		go func() {
			runtime.LockOSThread()
			<-held
		}()
	}
	<-time.After(50 * time.Millisecond)
	defer close(held)
	tasks, err := filepath.Glob("/proc/self/task/*/status")
	var all []string
	for _, task := range tasks {
		b, e := os.ReadFile(task)
		s, e2 := parseHeld(string(b))
		all, err = append(all, strings.Join(s.list(), "+")), errors.Join(err, e, e2)
	}
	slices.Sort(all)
	return fmt.Sprint(len(tasks) > 8, " ", slices.Compact(all)), err
}

// plugin is such a process.
type plugin struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Scanner
}

func run(t *testing.T, f Folders) (plugin, string) {
	t.Helper()
	text, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), asPlugin+"="+string(text))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	p := plugin{t, in, bufio.NewScanner(out)}
	return p, p.line()
}

func (p plugin) line() string {
	p.t.Helper()
	if !p.out.Scan() {
		p.t.Fatal("the process has ended")
	}
	return p.out.Text()
}

// ask sends a command and compares the answer; of an error only that it is one.
func (p plugin) ask(command, want string) {
	p.t.Helper()
	if _, err := fmt.Fprintln(p.in, command); err != nil {
		p.t.Fatal(err)
	}
	var got string
	if err := json.Unmarshal([]byte(p.line()), &got); err != nil {
		p.t.Fatal(err)
	}
	if want == "error" {
		got, _, _ = strings.Cut(got, ":")
	}
	if got != want {
		p.t.Errorf("%s: %q, want %q", command, got, want)
	}
}

// host makes a host's folders at host, and what an engine makes of them at prefix.
type host struct {
	t            *testing.T
	root, prefix string
}

func newHost(t *testing.T) host {
	t.Helper()
	base := t.TempDir()
	h := host{t, filepath.Join(base, "host"), filepath.Join(base, "prefix")}
	for _, dir := range []string{"/run", "/etc", "/var/lib"} {
		for _, at := range []string{h.root, h.prefix} {
			h.must(os.MkdirAll(at+dir, 0o755))
		}
	}
	h.mount("tmpfs", h.root+"/run", "tmpfs", 0)
	h.mount("tmpfs", h.root+"/etc", "tmpfs", 0)
	h.mount("tmpfs", h.root+"/var/lib", "tmpfs", 0)
	for _, dir := range []string{"/run", "/etc", "/var/lib"} {
		h.must(unix.Mount("", h.root+dir, "", unix.MS_SHARED, ""))
	}
	for p, text := range map[string]string{
		"/etc/evio/config.json": "settings", "/etc/evio/password": "secret", "/etc/shadow": "hash", "/etc/ssh/key": "key",
		"/etc/ssl/private/key": "key", "/etc/resolv.conf": "first", "/var/lib/docker/layer": "layer", "/var/lib/evio/identity": "identity",
		"/run/docker/runtime/state": "state", "/run/systemd/private": "x", "/run/user/1000/x": "x", "/run/openvswitch/pid": "1",
	} {
		h.write(p, text)
	}
	h.must(os.MkdirAll(h.root+"/run/docker/netns", 0o755))
	h.serve("/run/docker.sock", "docker 1")
	h.serve("/run/dbus.sock", "dbus")
	h.serve("/run/openvswitch/db.sock", "ovs 1")
	h.must(os.MkdirAll(h.root+"/run/task/rootfs", 0o755))
	h.mount("tmpfs", h.root+"/run/task/rootfs", "tmpfs", 0)
	return h
}

// engine mounts the host's folders as an engine does.
func (h host) engine() {
	h.t.Helper()
	for _, dir := range []string{"/run", "/etc", "/var/lib"} {
		h.mount(h.root+dir, h.prefix+dir, "", unix.MS_BIND|unix.MS_REC)
		h.must(unix.Mount("", h.prefix+dir, "", unix.MS_SLAVE|unix.MS_REC, ""))
	}
}

func (h host) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h host) mount(source, target, kind string, flags uintptr) {
	h.t.Helper()
	h.must(unix.Mount(source, target, kind, flags, ""))
	h.t.Cleanup(func() { _ = unix.Unmount(target, unix.MNT_DETACH) })
}

// write replaces a file by another one.
func (h host) write(p, text string) {
	h.t.Helper()
	h.must(os.MkdirAll(filepath.Dir(h.root+p), 0o755))
	h.must(os.WriteFile(h.root+p+".new", []byte(text), 0o600))
	h.must(os.Rename(h.root+p+".new", h.root+p))
}

// serve answers calls of a socket with a text.
func (h host) serve(p, text string) {
	h.t.Helper()
	h.must(os.MkdirAll(filepath.Dir(h.root+p), 0o755))
	_ = os.Remove(h.root + p)
	l, err := net.Listen("unix", h.root+p)
	h.must(err)
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	h.t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, text)
			_ = c.Close()
		}
	}()
}

func (h host) folders() Folders {
	return Folders{
		Prefix: h.prefix, State: "/var/lib/evio", Writable: []string{"/run/evio", "/run/docker/plugins"}, Namespaces: []string{"/run/docker/netns"},
		Readable: []string{"/run/docker.sock", "/run/openvswitch", "/run/systemd/resolve", "/etc/evio/config.json", "/etc/evio/password"},
	}
}

// TestEnter: of the host's folders the process has those that it uses, follows what is made
// anew in them, and no thread has a capability that it does not need. The mounts of the
// namespace in which it was started are as they were.
func TestEnter(t *testing.T) {
	h := newHost(t)
	h.engine()
	before, err := mounts()
	if err != nil {
		t.Fatal(err)
	}
	p, first := run(t, h.folders())
	var look Reach
	if err := json.Unmarshal([]byte(first), &look); err != nil {
		t.Fatalf("%s: %v", first, err)
	}
	want := Reach{
		Folders: []Folder{
			{"/etc", false}, {"/run", false}, {"/run/docker/netns", false}, {"/run/docker/plugins", true}, {"/run/evio", true}, {"/var/lib/evio", true},
		},
		Hidden:       []string{"/etc/shadow", "/etc/ssh", "/etc/ssl/private", "/run/dbus.sock", "/run/docker/runtime", "/run/task", "/run/user"},
		Capabilities: Needed, Confined: true,
	}
	if diff := cmp.Diff(want, look); diff != "" {
		t.Errorf("left: %s", diff)
	}
	now, err := mounts()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, now, cmp.AllowUnexported(mount{})); diff != "" {
		t.Errorf("mounts of the namespace in which it was started: %s", diff)
	}

	at := func(command string) string {
		verb, p, _ := strings.Cut(command, " ")
		return verb + " " + h.prefix + p
	}
	for command, want := range map[string]string{
		"read /etc/evio/config.json": "settings", "read /etc/evio/password": "secret", "read /var/lib/evio/identity": "identity",
		"call /run/docker.sock": "docker 1", "call /run/openvswitch/db.sock": "ovs 1", "read /etc/resolv.conf": "first",
		"write /var/lib/evio/new": "", "write /run/evio/new": "", "write /run/docker/plugins/new": "",

		"read /etc/shadow": "", "list /etc/ssh": "", "list /etc/ssl/private": "", "list /run/user": "", "list /run/docker/runtime": "",
		"list /var/lib": "evio ", "read /var/lib/docker/layer": "error", "call /run/dbus.sock": "error",
		"write /etc/evio/new": "error", "write /run/new": "error", "write /var/lib/new": "error", "write /run/openvswitch/new": "error",
		"mount /run/evio": "error",
	} {
		p.ask(at(command), want)
	}
	p.ask("threads", fmt.Sprintf("true [%s]", strings.Join(Needed, "+")))

	h.write("/etc/resolv.conf", "second")
	p.ask(at("read /etc/resolv.conf"), "second")
	h.write("/run/systemd/resolve/stub.conf", "later")
	p.ask(at("read /run/systemd/resolve/stub.conf"), "later")
	h.serve("/run/docker.sock", "docker 2")
	p.ask(at("call /run/docker.sock"), "docker 2")
	h.must(os.RemoveAll(h.root + "/run/openvswitch"))
	h.serve("/run/openvswitch/db.sock", "ovs 2")
	p.ask(at("call /run/openvswitch/db.sock"), "ovs 2")
	h.write("/run/docker/netns/new", "")
	h.mount("/proc/self/ns/net", h.root+"/run/docker/netns/new", "", unix.MS_BIND)
	if _, err := fmt.Fprintln(p.in, "read /proc/self/mountinfo"); err != nil {
		t.Fatal(err)
	}
	if list := p.line(); !strings.Contains(list, h.prefix+"/run/docker/netns/new ") || strings.Contains(list, h.prefix+"/run/task/rootfs") {
		t.Errorf("mounts after one of a namespace: %s", list)
	}

	// What is hidden by something on it is seen when the host puts another in its place.
	h.write("/etc/shadow", "new hash")
	p.ask(at("read /etc/shadow"), "new hash")
	p.ask("hidden", "/etc/ssh /etc/ssl/private /run/dbus.sock /run/docker/runtime /run/task /run/user")

	// Another process that is confined finds what the first has left.
	again, _ := run(t, h.folders())
	again.ask(at("read /etc/shadow"), "")
	again.ask(at("read /var/lib/evio/new"), "written")
}

// TestEnterWaitsForState: a state folder that cannot be made is an error, and nothing has
// changed; it can be made when the host's file system can be written to, though the engine's
// mount of it was read-only.
func TestEnterWaitsForState(t *testing.T) {
	h := newHost(t)
	h.must(os.RemoveAll(h.root + "/var/lib/evio"))
	h.must(unix.Mount("", h.root+"/var/lib", "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	h.engine()
	h.must(unix.Mount("", h.prefix+"/var/lib", "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	_, first := run(t, h.folders())
	if want := "the state folder cannot be made: /var/lib/evio: read-only file system"; !strings.Contains(first, want) {
		t.Fatalf("%s, want %q", first, want)
	}
	if err := MakeState(h.folders()); !errors.Is(err, ErrState) {
		t.Errorf("made where nothing can be written: %v", err)
	}
	h.must(unix.Mount("", h.root+"/var/lib", "", unix.MS_REMOUNT, ""))
	h.must(MakeState(h.folders()))
	p, _ := run(t, h.folders())
	p.ask("write "+h.prefix+"/var/lib/evio/new", "")
	p.ask("read "+h.prefix+"/var/lib/evio/new", "written")
}
