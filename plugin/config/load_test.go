package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// host makes a folder that stands for the mounted host, with a configuration file.
func host(t *testing.T, file string) (prefix string) {
	t.Helper()
	prefix = t.TempDir()
	write(t, filepath.Join(prefix, "etc/evio/config.json"), file, 0o600)
	return prefix
}

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask is
		t.Fatal(err)
	}
}

func env(pairs ...string) func(string) string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return func(name string) string { return m[name] }
}

func TestLoadWithoutFile(t *testing.T) {
	prefix := t.TempDir()
	s, faults := Load(env("EVIO_HOST_PREFIX", prefix))
	if len(faults) != 0 {
		t.Fatal(faults)
	}
	want := Settings{
		File: Default(), ConfigPath: "/etc/evio/config.json", Missing: true, HostPrefix: prefix,
		Socket: "/run/docker/plugins/evio.sock", V1Names: []string{"evio", "evio:latest"}, Variables: []string{"EVIO_HOST_PREFIX"},
	}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Error(diff)
	}
}

func TestEnvironmentWinsOverFile(t *testing.T) {
	prefix := host(t, `{"site": "file", "udp_port": 1, "log": {"level": "error", "format": "json"}, "state_dir": "/var/lib/file",
		"offload": {"tap": "off", "merge": "off"}}`)
	s, faults := Load(env("EVIO_HOST_PREFIX", prefix, "EVIO_UDP_PORT", "0", "EVIO_LOG_LEVEL", "debug", "EVIO_SITE", "berlin",
		"EVIO_OVS_RUNDIR", "none", "EVIO_RUN_DIR", "/run/evio-2", "EVIO_V1_NAMES", "a, b", "EVIO_SOCKET", "/tmp/s",
		"EVIO_DOCKER_SOCKET", "/run/d.sock", "EVIO_PLUGIN_DIR", "/run/p",
		"EVIO_OFFLOAD_TAP", "auto", "EVIO_OFFLOAD_UDP_SEND", "off", "EVIO_OFFLOAD_UDP_RECEIVE", "off"))
	if len(faults) != 0 {
		t.Fatal(faults)
	}
	want := Settings{
		File: File{
			Site: "berlin", RekeySeconds: 3600, UDPPort: 0, Log: Log{Level: "debug", Format: "json"}, OVS: OVS{RunDir: "none"},
			Docker: Docker{Socket: "/run/d.sock", PluginDir: "/run/p"}, StateDir: "/var/lib/file", RunDir: "/run/evio-2",
			Offload: Offload{TAP: Auto, UDPSend: Off, UDPReceive: Off, Merge: Off},
		},
		ConfigPath: "/etc/evio/config.json", HostPrefix: prefix, Socket: "/tmp/s", V1Names: []string{"a", "b"},
		Variables: []string{
			"EVIO_HOST_PREFIX", "EVIO_SOCKET", "EVIO_V1_NAMES", "EVIO_SITE", "EVIO_LOG_LEVEL", "EVIO_UDP_PORT",
			"EVIO_OFFLOAD_TAP", "EVIO_OFFLOAD_UDP_SEND", "EVIO_OFFLOAD_UDP_RECEIVE",
			"EVIO_OVS_RUNDIR", "EVIO_DOCKER_SOCKET", "EVIO_PLUGIN_DIR", "EVIO_RUN_DIR",
		},
	}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Error(diff)
	}
}

func TestNoV1Names(t *testing.T) {
	s, faults := Load(env("EVIO_HOST_PREFIX", t.TempDir(), "EVIO_V1_NAMES", "none"))
	if len(faults) != 0 || len(s.V1Names) != 0 {
		t.Errorf("names %q, faults %v", s.V1Names, faults)
	}
}

// TestLoadFaults: whatever is wrong, the settings are usable and the fault says
// where and what to do.
func TestLoadFaults(t *testing.T) {
	for _, c := range []struct {
		name, file string
		env        []string
		want       []string
	}{
		{"environment", `{}`, []string{"EVIO_UDP_PORT", "70000", "EVIO_LOG_LEVEL", "loud", "EVIO_STATE_DIR", "evio", "EVIO_V1_NAMES", "a/b", "EVIO_SOCKET", "x", "EVIO_CONFIG", "y"}, []string{
			"EVIO_CONFIG: \"y\" is no full path; give one of the host that begins with /",
			"EVIO_SOCKET: \"x\" is no full path",
			"EVIO_V1_NAMES: \"a/b\" is no name of a plugin; give names with commas between them, such as evio,evio:latest, or none",
			"EVIO_LOG_LEVEL: \"loud\" is not known; give one of trace, debug, info, warn, error",
			"EVIO_UDP_PORT: this is no UDP port; give one from 1 to 65535, or 0 for any free one",
			"EVIO_STATE_DIR: \"evio\" is no full path",
		}},
		{"no number", `{}`, []string{"EVIO_UDP_PORT", "many"}, []string{"EVIO_UDP_PORT: this is no UDP port"}},
		{"out of reach by environment", `{}`, []string{"EVIO_STATE_DIR", "/etc/evio"}, []string{
			"EVIO_STATE_DIR: the plugin cannot reach /etc/evio; choose a path below /run or /var/lib",
		}},
		{"file", `{"stun": 1, "x": 2}`, nil, []string{
			"/etc/evio/config.json: stun: it must be a list in []",
			"/etc/evio/config.json: x: there is no such setting",
		}},
		{"out of reach by file", `{"signalling": [{"jid": "a@b", "password_file": "/root/p", "ca_file": "/etc/../srv/ca", "overlays": {"*": "roster"}}], "run_dir": "/var/run/evio"}`, nil, []string{
			"/etc/evio/config.json: signalling[0].password_file: the plugin cannot reach /root/p; choose a path below /etc or /run or /var/lib",
			"/etc/evio/config.json: signalling[0].ca_file: the plugin cannot reach /srv/ca",
		}},
		{"secrets out of reach", `{"turn": [{"uri": "turns:a:1", "secret_file": "/root/s", "ca_file": "/root/ca"}], "secrets": {"b": "/srv/b"},
			"signalling": [{"jid": "a@b", "certificate_file": "/srv/c", "key_file": "/srv/k", "overlays": {"*": "roster"}}]}`, nil, []string{
			"/etc/evio/config.json: signalling[0].certificate_file: the plugin cannot reach /srv/c",
			"/etc/evio/config.json: signalling[0].key_file: the plugin cannot reach /srv/k",
			"/etc/evio/config.json: turn[0].secret_file: the plugin cannot reach /root/s",
			"/etc/evio/config.json: turn[0].ca_file: the plugin cannot reach /root/ca",
			"/etc/evio/config.json: secrets[\"b\"]: the plugin cannot reach /srv/b",
		}},
		{"cut file", `{`, nil, []string{"/etc/evio/config.json: line 1, column 1: unexpected end of JSON input; correct the JSON there"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			prefix := host(t, c.file)
			s, faults := Load(env(append(c.env, "EVIO_HOST_PREFIX", prefix)...))
			if len(faults) != len(c.want) {
				t.Fatalf("%d faults, want %d: %v", len(faults), len(c.want), faults)
			}
			for i, w := range c.want {
				if !strings.HasPrefix(faults[i].Error(), w) {
					t.Errorf("fault %d is %q, want %q", i, faults[i], w)
				}
			}
			if wrong := s.validate(); len(wrong) != 0 {
				t.Errorf("the settings have faults: %v", wrong)
			}
			if s.Missing {
				t.Error("a broken file counts as a missing one")
			}
		})
	}
}

func TestUnreadableFile(t *testing.T) {
	prefix := t.TempDir()
	if err := os.MkdirAll(filepath.Join(prefix, "etc/evio/config.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	s, faults := Load(env("EVIO_HOST_PREFIX", prefix))
	if len(faults) != 1 || !strings.Contains(faults.Err().Error(), "is a directory; make it a file that root can read") {
		t.Errorf("faults %v", faults)
	}
	if diff := cmp.Diff(Default(), s.File); diff != "" {
		t.Error(diff)
	}
}

func TestHostPath(t *testing.T) {
	for _, c := range []struct{ prefix, in, want string }{
		{"", "/run/x/../y", "/run/y"},
		{"", "/var/run/docker.sock", "/var/run/docker.sock"},
		{"/host", "/etc/evio", "/host/etc/evio"},
		{"/host", "/var/run/docker.sock", "/host/run/docker.sock"},
		{"/host", "/var/run", "/host/run"},
		{"/host", "/var/running", "/host/var/running"},
		{"/host", "/../../etc", "/host/etc"},
	} {
		if got := (Settings{HostPrefix: c.prefix}).HostPath(c.in); got != c.want {
			t.Errorf("HostPath(%q) with %q: %q, want %q", c.in, c.prefix, got, c.want)
		}
	}
}
