// Package packaging has no code but its scripts; these tests run the installer of the
// bundle with a docker command that is not real.
package packaging

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestMain makes a copy of the test's own binary stand for evio.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "version" {
		_, err := io.WriteString(os.Stdout, "evio of the test\n")
		if err != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// fakeDocker prints files named after its arguments, as far as there are such, and
// writes down what would change an engine.
const fakeDocker = `#!/bin/sh
case "$1 $2" in
  'version --format') cat "$FAKE/version"; [ ! -e "$FAKE/dead" ] || exit 1 ;;
  'info --format') cat "$FAKE/info" 2>/dev/null ;;
  'plugin ls') cat "$FAKE/ls" 2>/dev/null ;;
  'plugin inspect')
    for last; do :; done
    case $4 in
      *Interface*) cat "$FAKE/socket-$last" ;;
      *Enabled*) cat "$FAKE/enabled-$last" 2>/dev/null || exit 1 ;;
      *Settings*) cat "$FAKE/settings-$last" ;;
      *Config*) cat "$FAKE/config-$last" ;;
    esac ;;
  *)
    echo "$*" >>"$FAKE/calls"
    [ "$2" != "$(cat "$FAKE/fails" 2>/dev/null)" ] || { echo "docker: no $2" >&2; exit 1; } ;;
esac
`

// site is a host with the fake and an unpacked bundle.
type site struct {
	t                   *testing.T
	fake, bundle, tools string
}

func newSite(t *testing.T) *site {
	t.Helper()
	dir := t.TempDir()
	s := &site{t: t, fake: filepath.Join(dir, "fake"), bundle: filepath.Join(dir, "bundle"), tools: filepath.Join(dir, "tools")}
	for name, mode := range map[string]os.FileMode{"install.sh": 0o755, "../../config.json": 0o644} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(s.bundle, name)
		if name != "install.sh" {
			to = filepath.Join(s.bundle, "plugin", "config.json")
		}
		s.write(to, string(data), mode)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	s.write(filepath.Join(s.bundle, "plugin/rootfs/usr/bin/evio"), string(program), 0o755)
	s.write(filepath.Join(s.tools, "docker"), fakeDocker, 0o755)
	s.set("version", "28.5.2+dfsg4 linux/"+runtime.GOARCH+"\n")
	return s
}

func (s *site) write(name, data string, mode os.FileMode) {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(data), mode); err != nil {
		s.t.Fatal(err)
	}
}

// set says what the fake prints.
func (s *site) set(name, data string) { s.write(filepath.Join(s.fake, name), data, 0o600) }

// install runs the installer and returns what it printed and its exit code.
func (s *site) install(args ...string) (string, int) {
	s.t.Helper()
	args = append([]string{"--bindir", filepath.Join(s.bundle, "bin")}, args...)
	cmd := exec.CommandContext(s.t.Context(), filepath.Join(s.bundle, "install.sh"), args...)
	cmd.Env = []string{"PATH=" + s.tools + ":/usr/sbin:/usr/bin:/sbin:/bin", "FAKE=" + s.fake}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	_ = cmd.Run() // the exit code says it
	return out.String(), cmd.ProcessState.ExitCode()
}

// calls are those that would have changed the engine.
func (s *site) calls() []string {
	data, err := os.ReadFile(filepath.Join(s.fake, "calls"))
	if err != nil && !os.IsNotExist(err) {
		s.t.Fatal(err)
	}
	calls := strings.ReplaceAll(string(data), s.bundle, "BUNDLE")
	calls = regexp.MustCompile(`(?m)evio-trial /.*$`).ReplaceAllString(calls, "evio-trial TRIAL")
	return strings.Split(strings.TrimSpace(calls), "\n")
}

// TestInstallRefuses: what cannot work is said in a sentence before anything is changed.
func TestInstallRefuses(t *testing.T) {
	other := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	for name, c := range map[string]struct {
		files map[string]string
		args  []string
		want  string
		code  int
	}{
		"an unknown option":    {args: []string{"--names", "x"}, want: "there is no option --names", code: 2},
		"no value":             {args: []string{"--name"}, want: "--name needs a value", code: 2},
		"no setting":           {args: []string{"debug"}, want: "'debug' is no SETTING=VALUE", code: 2},
		"an unknown setting":   {args: []string{"EVIO_LOG=debug"}, want: "there is no setting EVIO_LOG", code: 1},
		"the name of a driver": {args: []string{"--name", "evio"}, want: "give another --name", code: 1},
		"no engine":            {files: map[string]string{"version": "Cannot connect\n", "dead": ""}, want: "systemctl start docker", code: 1},
		"an old engine":        {files: map[string]string{"version": "20.04.1 linux/" + runtime.GOARCH}, want: "needs 20.10 or newer", code: 1},
		"another architecture": {files: map[string]string{"version": "28.5.2 linux/" + other}, want: "take the bundle for that", code: 1},
		"a rootless engine":    {files: map[string]string{"info": "[name=seccomp name=rootless]"}, want: "is rootless", code: 1},
		"another plugin": {
			files: map[string]string{"ls": "host/evio:latest\n", "socket-host/evio:latest": "evio.sock true\n"},
			want:  "give --name host/evio:latest to replace it", code: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			for file, data := range c.files {
				s.set(file, data)
			}
			out, code := s.install(c.args...)
			if !strings.Contains(out, c.want) || code != c.code {
				t.Errorf("exit code %d, want %d, with %q: %s", code, c.code, c.want, out)
			}
			if calls := s.calls(); !slices.Equal(calls, []string{""}) {
				t.Errorf("it has called %q", calls)
			}
		})
	}
}

// TestInstallWithoutDocker: the docker command is what is looked for first.
func TestInstallWithoutDocker(t *testing.T) {
	s := newSite(t)
	if err := os.Remove(filepath.Join(s.tools, "docker")); err != nil {
		t.Fatal(err)
	}
	for _, tool := range []string{"dirname", "grep", "sed"} { // all that it needs until then, and no docker of this machine
		at, err := exec.LookPath(tool)
		if err == nil {
			err = os.Symlink(at, filepath.Join(s.tools, tool))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(s.bundle, "install.sh"))
	cmd.Env = []string{"PATH=" + s.tools}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "install Docker Engine 20.10 or newer") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestInstallReplaces: the plugin that is there goes first, and what its user had set
// goes on, except for what is given anew and what is not known any more.
func TestInstallReplaces(t *testing.T) {
	s := newSite(t)
	s.set("ls", "evionet:latest\nother:latest\n")
	s.set("socket-other:latest", "other.sock true\n")
	s.set("enabled-evionet", "true\n")
	s.set("settings-evionet", "EVIO_LOG_LEVEL=debug\nEVIO_SITE=a b\nEVIO_GONE=1\nEVIO_CONFIG=/etc/evio/config.json\nrun.source=/run\nvarlib.source=/srv/lib\ntun.path=/dev/net/tun\n")
	s.set("config-evionet", "EVIO_LOG_LEVEL=\nEVIO_SITE=\nEVIO_GONE=\nEVIO_CONFIG=/etc/evio/config.json\nrun.source=/run\nvarlib.source=/var/lib\ntun.path=/dev/net/tun\n")
	out, code := s.install("EVIO_LOG_LEVEL=warn")
	if code != 0 || !strings.Contains(out, "evio of the test is installed") || !strings.Contains(out, "leaves out EVIO_GONE=1") {
		t.Errorf("exit code %d: %s", code, out)
	}
	want := []string{
		"plugin rm evio-trial",
		"plugin create evio-trial TRIAL",
		"plugin set evio-trial EVIO_LOG_LEVEL=warn EVIO_SITE=a b varlib.source=/srv/lib",
		"plugin rm evio-trial",
		"plugin disable --force evionet",
		"plugin rm --force evionet",
		"plugin create evionet BUNDLE/plugin",
		"plugin set evionet EVIO_LOG_LEVEL=warn EVIO_SITE=a b varlib.source=/srv/lib",
		"plugin enable evionet",
		"plugin rm evio-trial", // whatever was left
	}
	if diff := cmp.Diff(want, s.calls()); diff != "" {
		t.Errorf("calls (- want, + got):\n%s", diff)
	}
}

// TestInstallKeepsTheOld: the plugin that is there stays when the new one cannot be made.
func TestInstallKeepsTheOld(t *testing.T) {
	s := newSite(t)
	for file, data := range map[string]string{"enabled": "true\n", "settings": "EVIO_SITE=a\n", "config": "EVIO_SITE=\n"} {
		s.set(file+"-evionet", data)
	}
	s.set("fails", "set")
	out, code := s.install()
	if code != 1 || !strings.Contains(out, "a setting was refused") {
		t.Errorf("exit code %d: %s", code, out)
	}
	for _, call := range s.calls() {
		if strings.Contains(call, "evionet") {
			t.Errorf("it has called %q", call)
		}
	}
}

// TestInstallFails: where Docker refuses, the script says how to go on.
func TestInstallFails(t *testing.T) {
	for step, want := range map[string]string{"create": "run this again", "set": "run this again", "enable": "docker plugin enable evionet"} {
		t.Run(step, func(t *testing.T) {
			s := newSite(t)
			s.set("fails", step)
			out, code := s.install("EVIO_SITE=a")
			if code != 1 || !strings.Contains(out, "docker: no "+step) || !strings.Contains(out, want) {
				t.Errorf("exit code %d, want 1 with %q: %s", code, want, out)
			}
			if _, err := os.Stat(filepath.Join(s.bundle, "bin/evio")); err == nil {
				t.Error("the command is installed")
			}
		})
	}
}
