//go:build e2e

package testbed

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// within bounds a test's step.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// must returns an output, or ends the test.
func must[T any](out T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// One lab serves the tests that leave it as it was.
func TestThreeSites(t *testing.T) {
	began := time.Now()
	lab := Start(t, SiteConfig{Name: "a"}, SiteConfig{Name: "b"}, SiteConfig{Name: "c"})
	took := time.Since(began)
	t.Logf("three sites with engines, XMPP and STUN: %v", took)
	if limit := 20 * time.Second; took > limit {
		t.Errorf("start took %v, want at most %v", took, limit)
	}
	t.Run("containers", func(t *testing.T) { testContainers(t, lab.Site("a")) })
	t.Run("isolation", func(t *testing.T) { testIsolation(t, lab) })
	t.Run("compose", func(t *testing.T) { testCompose(t, lab.Site("b")) })
	t.Run("plugin", func(t *testing.T) { testPlugin(t, lab.Site("c")) })
	t.Run("capture", func(t *testing.T) { testCapture(t, lab.Site("a")) })
	t.Run("xmpp", func(t *testing.T) { testXMPP(t, lab) })
	t.Run("engine", func(t *testing.T) { testEngine(t, lab.Site("a")) })
}

func testContainers(t *testing.T, s *Site) {
	ctx := within(t, time.Minute)
	docker := func(args ...string) { must(s.Docker(ctx, args...))(t) }
	docker("network", "create", "--ipv6", "--subnet", "10.1.0.0/24", "--subnet", "fd00:1::/64", "local")
	for _, name := range []string{"one", "two"} {
		docker("run", "-d", "--init", "--name", name, "--network", "local", Image)
	}
	docker("exec", "one", "ping", "-c", "1", "-W", "2", "two")
	docker("exec", "one", "ping", "-6", "-c", "1", "-W", "2", "two")

	docker("exec", "-d", "two", "iperf3", "-s", "-1")
	docker("exec", "one", "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do iperf3 -c two -t 1 && exit; sleep 0.2; done; exit 1")

	for _, want := range []struct{ name, group, to, network string }{
		{"broadcast", "", "10.1.0.255:4000", "broadcast"},
		{"multicast", "239.1.2.3", "239.1.2.3:4000", "multicast"},
		{"multicast6", "ff02::1:2", "[ff02::1:2%eth0]:4000", "multicast"},
	} {
		receive := []string{"probe", "udp-recv", "-listen", ":4000", "-count", "1", "-for", "10s"}
		if want.group != "" {
			receive = append(receive, "-group", want.group)
		}
		p := must(s.Start(ctx, "receive-"+want.name, append([]string{"docker", "exec", "two"}, receive...)...))(t)
		check(t, p.await(ctx, func() error { return contains(p.Log(), "listening") }))
		docker("exec", "one", "probe", "udp-send", "-to", want.to, "-dev", "eth0", "-token", want.name)
		<-p.Done()
		if err := contains(p.Log(), `"token":"`+want.name+`"`); err != nil {
			t.Errorf("%s: %v", want.name, err)
		}
	}
	docker("rm", "-f", "one", "two")
	docker("network", "rm", "local")
}

func testIsolation(t *testing.T, lab *Lab) {
	ctx := within(t, time.Minute)
	for _, from := range lab.Sites() {
		for _, to := range lab.Sites() {
			_, err := from.Run(ctx, "ping", "-c", "1", "-W", "1", to.Addr().String())
			if reached := err == nil; reached != (from == to) {
				t.Errorf("%s reaches the LAN address of %s: %v", from.Name(), to.Name(), reached)
			}
		}
		// A router tells nothing about itself.
		if _, err := lab.Internet().Run(ctx, "ping", "-c", "1", "-W", "1", from.Router.WAN().String()); err == nil {
			t.Errorf("the router of %s answers", from.Name())
		}
	}
}

func testCompose(t *testing.T, s *Site) {
	ctx := within(t, time.Minute)
	dir := filepath.Join(t.TempDir(), "shop")
	check(t, os.Mkdir(dir, 0o755))
	check(t, os.WriteFile(filepath.Join(dir, "docker-compose.yml"), []byte(`
version: "2.4"
services:
  web:
    image: evio-test:1
    init: true
    command: probe http-serve -listen :80 -body hello
    ports: ["8080:80"]
`), 0o644))
	must(s.Compose(ctx, dir, "up", "-d"))(t)
	out := must(s.Run(ctx, "curl", "-fsS", "--retry", "20", "--retry-connrefused", "--retry-delay", "1", "http://127.0.0.1:8080/"))(t)
	if out != "hello" {
		t.Errorf("web answers %q", out)
	}
	must(s.Compose(ctx, dir, "down"))(t)
}

// A plugin that answers every call with what it implements: enough for the engine to enable it.
func testPlugin(t *testing.T, s *Site) {
	ctx := within(t, time.Minute)
	bundle := t.TempDir()
	check(t, os.MkdirAll(filepath.Join(bundle, "rootfs", "bin"), 0o755))
	probe := must(os.ReadFile(s.lab.probe))(t)
	check(t, os.WriteFile(filepath.Join(bundle, "rootfs", "bin", "probe"), probe, 0o755))
	config := must(json.Marshal(map[string]any{
		"entrypoint": []string{
			"/bin/probe", "http-serve", "-listen", "unix:/run/docker/plugins/try.sock",
			"-body", `{"Implements":["NetworkDriver"],"Scope":"local"}`,
		},
		"interface": map[string]any{"types": []string{"docker.networkdriver/1.0"}, "socket": "try.sock"},
		"network":   map[string]any{"type": "host"},
		"env":       []any{map[string]any{"name": "LEVEL", "value": "", "settable": []string{"value"}}},
		"mounts": []any{map[string]any{
			"type": "bind", "source": "/run", "destination": "/host/run", "options": []string{"rbind", "rslave"},
		}},
		"linux": map[string]any{
			"capabilities": []string{"CAP_NET_ADMIN"},
			"devices":      []any{map[string]any{"name": "tun", "path": "/dev/net/tun"}},
		},
	}))(t)
	check(t, os.WriteFile(filepath.Join(bundle, "config.json"), config, 0o644))

	check(t, s.InstallPlugin(ctx, "try", bundle, map[string]string{"LEVEL": "debug"}))
	pid := must(s.PluginPID(ctx, "try"))(t)
	environment := must(s.Script(ctx, `tr '\0' '\n' </proc/$(jq .init_process_pid /run/docker/runtime-runc/plugins.moby/*/state.json)/environ`))(t)
	if !strings.Contains(environment, "LEVEL=debug") {
		t.Errorf("environment of the plugin: %q", environment)
	}
	// The plugin sees network namespaces that are made after its start.
	must(s.Docker(ctx, "run", "-d", "--init", "--name", "sandbox", Image))(t)
	key := must(s.Docker(ctx, "inspect", "--format", "{{.NetworkSettings.SandboxKey}}", "sandbox"))(t)
	kind := must(s.Script(ctx, "stat -f -c %T /proc/$(jq .init_process_pid /run/docker/runtime-runc/plugins.moby/*/state.json)/root/host"+
		strings.Replace(key, "/var/run", "/run", 1)))(t)
	if kind != "nsfs" {
		t.Errorf("the plugin sees %s as %s, want nsfs", key, kind)
	}
	must(s.Docker(ctx, "rm", "-f", "sandbox"))(t)

	check(t, s.KillPlugin(ctx, "try"))
	check(t, s.Engine().await(ctx, func() error {
		again, err := s.PluginPID(ctx, "try")
		if err == nil && again == pid {
			err = os.ErrProcessDone
		}
		return err
	}))
	check(t, s.RemovePlugin(ctx, "try"))
}

func testCapture(t *testing.T, s *Site) {
	ctx := within(t, 30*time.Second)
	c := must(s.Router.Capture(ctx, "wan", "udp"))(t)
	must(s.Run(ctx, "probe", "udp-send", "-to", stunAddr+":9", "-token", "needle-in-capture"))(t)
	file := must(c.Stop(ctx))(t)
	data := must(os.ReadFile(file))(t)
	if n := strings.Count(string(data), "needle-in-capture"); n != 1 {
		t.Errorf("captured %d datagrams, want 1", n)
	}

	must(s.Docker(ctx, "run", "-d", "--init", "--name", "target", Image))(t)
	c = must(s.CaptureContainer(ctx, "target", "eth0", ""))(t)
	must(s.Docker(ctx, "run", "--rm", "--init", Image, "probe", "raw-send",
		"-mac-src", "02:00:00:00:be:ef", "-ip-src", "10.99.99.99", "-ip-dst", "172.17.255.255", "-token", "forged-frame"))(t)
	file = must(c.Stop(ctx))(t)
	data = must(os.ReadFile(file))(t)
	if n := strings.Count(string(data), "forged-frame"); n != 1 {
		t.Errorf("captured %d forged frames, want 1", n)
	}
	must(s.Docker(ctx, "rm", "-f", "target"))(t)
}

func testEngine(t *testing.T, s *Site) {
	ctx := within(t, 2*time.Minute)
	running := func() string {
		return must(s.Docker(ctx, "ps", "--quiet", "--no-trunc"))(t)
	}
	check(t, s.StopEngine(ctx))
	check(t, s.StartEngine(ctx, EngineOptions{LiveRestore: true}))
	id := must(s.Docker(ctx, "run", "-d", "--init", "--name", "survivor", Image))(t)
	check(t, s.KillEngine(ctx))
	check(t, s.StartEngine(ctx, EngineOptions{LiveRestore: true}))
	if got := running(); got != id {
		t.Errorf("after a crash with live-restore %q runs, want %q", got, id)
	}
	check(t, s.StopEngine(ctx))
	check(t, s.StartEngine(ctx, EngineOptions{}))
	check(t, s.RestartEngine(ctx))
	if got := running(); got != "" {
		t.Errorf("after a restart without live-restore %q runs, want nothing", got)
	}
	must(s.Docker(ctx, "rm", "survivor"))(t)
}
