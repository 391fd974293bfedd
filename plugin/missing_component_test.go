//go:build component

package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestWhatIsMissing: without something that it needs evio serves all the same, and says
// in one sentence, in Docker's error and in the status, what is wrong and what to do.
func TestWhatIsMissing(t *testing.T) {
	write := func(t *testing.T, path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("no tun device", func(t *testing.T) {
		p := start(t, workplace(t), nil, "unshare", "--mount", "sh", "-ec", `mount -t tmpfs tmpfs /dev/net; exec "$@"`, "sh")
		p.refused("CreateNetwork", createNetwork(1), "/dev/net/tun", "modprobe tun")
		p.tells("/dev/net/tun", "modprobe tun")
		empty(t, p)
	})
	t.Run("no Open vSwitch", func(t *testing.T) {
		p := start(t, workplace(t), []string{"PATH=/nowhere"})
		p.refused("CreateNetwork", createNetwork(1), "Open vSwitch", "is not on PATH", "install Open vSwitch")
		p.tells("Open vSwitch", "install Open vSwitch")
		empty(t, p)
	})
	t.Run("no XMPP server", func(t *testing.T) {
		dir := workplace(t)
		write(t, filepath.Join(dir, "password"), "secret\n")
		write(t, filepath.Join(dir, "config.json"), `{"signalling": [{"server": "127.0.0.1:1", "jid": "a@example.org",
			"password_file": "`+filepath.Join(dir, "password")+`", "overlays": {"*": "roster"}}]}`)
		p := start(t, dir, nil)
		p.must("CreateNetwork", createNetwork(1))
		p.must("CreateEndpoint", createEndpoint(1, 1))
		p.must("Join", join(1, 1))
		d, err := p.status()
		if err != nil || len(d.Signalling) != 1 || d.Signalling[0].Connected || d.Signalling[0].LastError == "" {
			t.Errorf("signalling %+v, %v", d.Signalling, err)
		}
		p.must("DeleteNetwork", ids(1, 0))
		empty(t, p)
	})
	t.Run("state directory is a file", func(t *testing.T) {
		dir := workplace(t)
		write(t, filepath.Join(dir, "state"), "")
		p := start(t, dir, nil)
		p.refused("CreateNetwork", createNetwork(1), filepath.Join(dir, "state"), "tried again")
		p.tells(filepath.Join(dir, "state"), "tried again")
		p.must("DeleteNetwork", ids(1, 0))
		if err := os.Remove(filepath.Join(dir, "state")); err != nil {
			t.Fatal(err)
		}
		p.comesBack()
		p.must("DeleteNetwork", ids(1, 0))
	})
	t.Run("run directory cannot be made", func(t *testing.T) {
		dir := workplace(t)
		write(t, filepath.Join(dir, "run"), "")
		p := start(t, dir, nil)
		p.refused("CreateNetwork", createNetwork(1), filepath.Join(dir, "run"), "run directory")
		p.responsive()
		if err := os.Remove(filepath.Join(dir, "run")); err != nil {
			t.Fatal(err)
		}
		await(t, 15*time.Second, "without a restart", func() error { return p.ok("CreateNetwork", createNetwork(1)) })
		p.must("DeleteNetwork", ids(1, 0))
		empty(t, p)
	})
	t.Run("no setting is right", func(t *testing.T) {
		dir := workplace(t)
		write(t, filepath.Join(dir, "config.json"), `{"stunn": [], "udp_port": "many", "log": {"level": 1}, "rekey_seconds": 1, "secrets": {"*": ""}}`)
		p := start(t, dir, []string{"EVIO_LOG_LEVEL=loud"})
		for _, part := range []string{"EVIO_LOG_LEVEL", "did you mean stun?", "udp_port", "log.level", "rekey_seconds", `secrets["*"]`} {
			p.refused("CreateNetwork", createNetwork(1), part)
			p.tells(part)
		}
		empty(t, p)
	})
}

// empty checks that evio answers and that nothing was made.
func empty(t *testing.T, p *process) {
	t.Helper()
	p.responsive()
	left := p.mustInventory()
	if len(left.Devices)+len(left.Files)+len(left.Ports) > 0 {
		t.Errorf("left: %+v", left)
	}
}
