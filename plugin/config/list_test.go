package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestList: every setting that has a value is listed with where the value is from.
func TestList(t *testing.T) {
	host := t.TempDir()
	if err := os.MkdirAll(filepath.Join(host, "etc/evio"), 0o700); err != nil {
		t.Fatal(err)
	}
	file := `{
		"signalling": [{"jid": "a@example.org", "password_file": "/etc/evio/password", "overlays": {"blue": "group:blue", "*": "roster"}}],
		"stun": ["stun.example.org:3478"],
		"secrets": {"blue": "/etc/evio/blue"},
		"udp_port": 4711, "log": {"level": "debug"}, "rekey_seconds": 3600,
		"offload": {"udp_send": "off"}
	}`
	if err := os.WriteFile(filepath.Join(host, "etc/evio/config.json"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	s, faults := Load(func(name string) string {
		return map[string]string{"EVIO_HOST_PREFIX": host, "EVIO_UDP_PORT": "0", "EVIO_RUN_DIR": "/run/evio-2", "EVIO_LOG_FORMAT": "loud", "EVIO_OFFLOAD_MERGE": "off"}[name]
	})
	if len(faults) != 1 {
		t.Fatal(faults) // of EVIO_LOG_FORMAT, which has no effect
	}
	want := []Item{
		{"signalling[0].tls", "starttls", "default"},
		{"signalling[0].sasl", "best", "default"},
		{"signalling[0].jid", "a@example.org", "file"},
		{"signalling[0].password_file", "/etc/evio/password", "file"},
		{`signalling[0].overlays["*"]`, "roster", "file"},
		{`signalling[0].overlays["blue"]`, "group:blue", "file"},
		{"stun[0]", "stun.example.org:3478", "file"},
		{`secrets["blue"]`, "/etc/evio/blue", "file"},
		{"membership_max_age", "0", "default"},
		{"rekey_seconds", "3600", "default"},
		{"udp_port", "0", "EVIO_UDP_PORT"},
		{"offload.tap", "auto", "default"},
		{"offload.udp_send", "off", "file"},
		{"offload.udp_receive", "auto", "default"},
		{"offload.merge", "off", "EVIO_OFFLOAD_MERGE"},
		{"log.level", "debug", "file"},
		{"log.format", "text", "default"},
		{"ovs.run_dir", "/run/openvswitch", "default"},
		{"docker.socket", "/run/docker.sock", "default"},
		{"docker.plugin_dir", "/run/docker/plugins", "default"},
		{"state_dir", "/var/lib/evio", "default"},
		{"run_dir", "/run/evio-2", "EVIO_RUN_DIR"},
		{"EVIO_CONFIG", "/etc/evio/config.json", "default"},
		{"EVIO_HOST_PREFIX", host, "EVIO_HOST_PREFIX"},
		{"EVIO_SOCKET", "/run/docker/plugins/evio.sock", "default"},
		{"EVIO_V1_NAMES", "evio,evio:latest", "default"},
	}
	if diff := cmp.Diff(want, s.List()); diff != "" {
		t.Error(diff)
	}
}
