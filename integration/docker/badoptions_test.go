//go:build e2e

package docker

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"evio/integration/scenario"
	"evio/integration/testbed"
)

// badOption is what docker is given and what its refusal has to name.
type badOption struct {
	what string
	args []string
	want []string
}

// badOptions has, for each option of a network, what is refused. An option without an
// entry fails the test: the options are those that the plugin itself lists.
var badOptions = map[string][]badOption{
	"evio.overlay": {
		{"empty", []string{"-o", "evio.overlay="}, []string{"evio.overlay", "1 to 64"}},
		{"too long", []string{"-o", "evio.overlay=" + strings.Repeat("x", 65)}, []string{"evio.overlay", "65 bytes", "1 to 64"}},
		{"malformed", []string{"-o", "evio.overlay=a b"}, []string{"evio.overlay", "letters"}},
		{"mistyped", []string{"-o", "evio.overlai=x"}, []string{"evio.overlai", "did you mean evio.overlay?"}},
		{"used twice", []string{"-o", "evio.overlay=taken"}, []string{"taken", "another"}},
	},
	"evio.gateway": {
		{"empty", []string{"-o", "evio.gateway="}, []string{"evio.gateway", "docker", "none"}},
		{"too long", []string{"-o", "evio.gateway=" + strings.Repeat("x", 5000)}, []string{"evio.gateway", "docker", "none"}},
		{"unknown", []string{"-o", "evio.gateway=mars"}, []string{"evio.gateway", "mars", "docker", "none"}},
		{"mistyped", []string{"-o", "gateway=none"}, []string{"did you mean evio.gateway?"}},
		{"contradictory", []string{"--internal", "-o", "evio.gateway=docker"}, []string{"evio.gateway=docker", "--internal"}},
	},
	"evio.encryption": {
		{"empty", []string{"-o", "evio.encryption="}, []string{"evio.encryption", "required"}},
		{"too long", []string{"-o", "evio.encryption=" + strings.Repeat("x", 5000)}, []string{"evio.encryption", "required"}},
		{"unknown", []string{"-o", "evio.encryption=off"}, []string{"evio.encryption", "off", "required"}},
		{"mistyped", []string{"-o", "evio.encription=required"}, []string{"did you mean evio.encryption?"}},
	},
	"evio.guard": {
		{"empty", []string{"-o", "evio.guard="}, []string{"evio.guard", "strict", "claim", "open"}},
		{"too long", []string{"-o", "evio.guard=" + strings.Repeat("x", 5000)}, []string{"evio.guard", "strict", "claim", "open"}},
		{"unknown", []string{"-o", "evio.guard=off"}, []string{"evio.guard", "off", "strict", "claim", "open"}},
		{"in capitals", []string{"-o", "evio.guard=OPEN"}, []string{"evio.guard", "OPEN", "open"}},
		{"mistyped", []string{"-o", "guard=open"}, []string{"did you mean evio.guard?"}},
	},
	"com.docker.network.driver.mtu": {
		{"empty", []string{"-o", "com.docker.network.driver.mtu="}, []string{"mtu", "576 to 9000"}},
		{"too long", []string{"-o", "com.docker.network.driver.mtu=" + strings.Repeat("1", 5000)}, []string{"mtu", "576 to 9000"}},
		{"no number", []string{"-o", "com.docker.network.driver.mtu=big"}, []string{"mtu", "big", "576 to 9000"}},
		{"no whole number", []string{"-o", "com.docker.network.driver.mtu=1400.5"}, []string{"mtu", "1400.5"}},
		{"too small", []string{"-o", "com.docker.network.driver.mtu=575"}, []string{"575", "576 to 9000"}},
		{"too large", []string{"-o", "com.docker.network.driver.mtu=9001"}, []string{"9001", "576 to 9000"}},
		{"mistyped", []string{"-o", "mtu=1400"}, []string{"did you mean com.docker.network.driver.mtu?"}},
		{"of evio", []string{"-o", "evio.mtu=1400"}, []string{"evio.mtu", "did you mean com.docker.network.driver.mtu?"}},
		{"contradictory", []string{"--ipv6", "--subnet", "fd00:28::/64", "-o", "com.docker.network.driver.mtu=1000"}, []string{"1000", "IPv6", "1280"}},
	},
	"com.docker.network.container_iface_prefix": {
		{"empty", []string{"-o", "com.docker.network.container_iface_prefix="}, []string{"container_iface_prefix", "1 to 12"}},
		{"too long", []string{"-o", "com.docker.network.container_iface_prefix=" + strings.Repeat("x", 13)}, []string{"container_iface_prefix", "1 to 12"}},
		{"malformed", []string{"-o", "com.docker.network.container_iface_prefix=a/b"}, []string{"a/b", "1 to 12"}},
		{"mistyped", []string{"-o", "com.docker.network.container_interface_prefix=lan"}, []string{"did you mean com.docker.network.container_iface_prefix?"}},
	},
}

// dockersOptions are options of Docker's own drivers that evio refuses, and what to use instead.
var dockersOptions = map[string][]string{
	"com.docker.network.internal=true":                 {"use --internal"},
	"com.docker.network.internal=maybe":                {"true or false", "--internal"},
	"com.docker.network.bridge.name=br0":               {"names its bridges itself"},
	"com.docker.network.bridge.enable_icc=false":       {"a network of their own"},
	"com.docker.network.bridge.of_tomorrow=1":          {"Docker's bridge driver", "leave it out"},
	"com.docker.network.host_ipv4=192.0.2.1":           {"docker_gwbridge"},
	"com.docker.network.endpoint.ifname=lan0":          {"belongs to a container's attachment", "--driver-opt"},
	"com.docker.network.driver.overlay.vxlanid_list=1": {"no VXLAN"},
	"encrypted":              {"encrypts everything"},
	"evio.internal=true":     {"did you mean --internal?"},
	"evio.subnet=10.0.0.0/8": {"did you mean --subnet?"},
}

// testBadOptions: every option of a network and of an attachment, over Docker.
func testBadOptions(t *testing.T, s *scenario.Site) {
	create := []string{"network", "create", "-d", "evio", "--subnet", "10.28.0.0/24"}
	sentence := refused(t, s, append(slices.Clone(create), "-o", "parent=eth0", "wrong"), "parent", "evio knows")
	_, list, _ := strings.Cut(strings.TrimSpace(sentence), "evio knows ")
	known := strings.Split(list, ", ")
	if diff := cmp.Diff(slices.Sorted(slices.Values(known)), slices.Sorted(maps.Keys(badOptions))); diff != "" {
		t.Errorf("options that the plugin knows, and options with an entry in this table:\n%s", diff)
	}
	for option, rows := range badOptions {
		for _, row := range rows {
			t.Run(option+"/"+row.what, func(t *testing.T) {
				refused(t, s, append(append(slices.Clone(create), row.args...), "wrong"), row.want...)
			})
		}
	}
	for option, want := range dockersOptions {
		name, _, _ := strings.Cut(option, "=")
		t.Run("docker/"+name, func(t *testing.T) {
			refused(t, s, append(slices.Clone(create), "-o", option, "wrong"), append(want, name)...)
		})
	}
	t.Run("docker/--internal twice", func(t *testing.T) {
		scenario.Docker(t, s, append(slices.Clone(create), "--internal", "-o", "com.docker.network.internal=true", "inside")...)
		defer scenario.Docker(t, s, "network", "rm", "inside")
		if out := scenario.Docker(t, s, "run", "--rm", "--network", "inside", "--entrypoint", "ip", testbed.Image, "route", "show", "default"); out != "" {
			t.Errorf("a way out of an internal network: %s", out)
		}
	})
	// Options of a network do not belong to an attachment.
	for option, want := range map[string][]string{
		"evio.mac=x":                                  {"unknown option", "evio.mac", "did you mean --mac-address of docker run?"},
		"com.docker.network.endpoint.ifname=a/b":      {"a/b", "such as lan0"},
		"com.docker.network.endpoint.ifnam=lan0":      {"unknown option", "did you mean com.docker.network.endpoint.ifname?"},
		"com.docker.network.endpoint.of_tomorrow=1":   {"unknown option", "leave it out"},
		"com.docker.network.container_iface_prefix=x": {"belongs to the network"},
		"evio.overlay=x":                              {"evio.overlay", "belongs to the network", "docker network create"},
		"evio.overlay=":                               {"evio.overlay", "belongs to the network"},
		"evio.gateway=y":                              {"evio.gateway", "belongs to the network"},
		"x.y=" + strings.Repeat("z", 5000):            {"unknown option", "x.y", "leave it out"},
	} {
		name, _, _ := strings.Cut(option, "=")
		t.Run("attachment/"+name, func(t *testing.T) {
			_, err := s.Docker(scenario.Within(t, 30*time.Second), "run", "--rm", "--network", "name=taken,driver-opt="+option, "--entrypoint", "true", testbed.Image)
			says(t, err, "NetworkDriver.CreateEndpoint: ", want...)
		})
	}
}

// advice is how a sentence about a setting says what to do.
var advice = regexp.MustCompile(`\b(give|choose|use)\b`)

// testBadVariables: every variable of docker plugin set that can be wrong is wrong at once.
func testBadVariables(t *testing.T, s *scenario.Site) {
	b, err := os.ReadFile(filepath.Join(scenario.Bundle, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		Env []struct {
			Name, Value string
			Settable    []string
		}
	}
	if err := json.Unmarshal(b, &manifest); err != nil {
		t.Fatal(err)
	}
	standard := []string{}
	var settable []string
	for _, v := range manifest.Env {
		if len(v.Settable) > 0 {
			settable = append(settable, v.Name)
			standard = append(standard, v.Name+"="+v.Value)
		}
	}
	long := "/run/" + strings.Repeat("x", 5000)
	wrong := map[string][]string{ // of the wrong kind or out of range, and too long
		"EVIO_CONFIG": {"config.json", long}, "EVIO_V1_NAMES": {"a/b", strings.Repeat("x", 65)}, "EVIO_SITE": {"a b", long}, "EVIO_LOG_LEVEL": {"loud", long}, "EVIO_LOG_FORMAT": {"7", long},
		"EVIO_UDP_PORT": {"65536", strings.Repeat("1", 5000)}, "EVIO_OVS_RUNDIR": {"ovs", long}, "EVIO_OFFLOAD_TAP": {"on", long},
		"EVIO_OFFLOAD_UDP_SEND": {"OFF", long}, "EVIO_OFFLOAD_UDP_RECEIVE": {"0", long}, "EVIO_OFFLOAD_MERGE": {"false", long},
		"EVIO_DOCKER_SOCKET": {"tcp://localhost:2375", long}, "EVIO_PLUGIN_DIR": {"/srv", long}, "EVIO_STATE_DIR": {"/etc/evio", long}, "EVIO_RUN_DIR": {"run", long},
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(settable)), slices.Sorted(maps.Keys(wrong))); diff != "" {
		t.Fatalf("variables that can be set, and variables with an entry in this table:\n%s", diff)
	}
	set := func(values []string) {
		t.Helper()
		scenario.Docker(t, s, "plugin", "disable", "-f", scenario.PluginName)
		scenario.Docker(t, s, append([]string{"plugin", "set", scenario.PluginName}, values...)...)
		scenario.Docker(t, s, "plugin", "enable", scenario.PluginName)
	}
	defer set(standard)
	before := remains(t, s)
	for i, what := range []string{"wrong", "too long"} {
		var values []string
		for name, bad := range wrong {
			values = append(values, name+"="+bad[i])
		}
		set(values)
		sentence := refused(t, s, []string{"network", "create", "-d", "evio", "wrong"}, settable...)
		parts := strings.Split(sentence, "; EVIO_")
		if len(parts) != len(settable) {
			t.Errorf("%s: %d settings are wrong, it tells of %d: %s", what, len(settable), len(parts), sentence)
		}
		for _, part := range parts {
			if !advice.MatchString(part) {
				t.Errorf("%s: it does not say what to do: %s", what, part)
			}
		}
	}
	if now := remains(t, s); now != before {
		t.Errorf("left behind: %s\nbefore: %s", now, before)
	}
	scenario.Docker(t, s, "plugin", "disable", "-f", scenario.PluginName)
	_, err = s.Docker(scenario.Within(t, 20*time.Second), "plugin", "set", scenario.PluginName, "EVIO_UPD_PORT=1")
	scenario.Docker(t, s, "plugin", "enable", scenario.PluginName)
	if err == nil {
		t.Error("docker plugin set takes a variable that does not exist")
	}
}

// says checks that docker failed with one sentence behind prefix that has all parts, and
// returns it.
func says(t *testing.T, err error, prefix string, want ...string) string {
	t.Helper()
	if err == nil {
		t.Fatal("docker succeeded")
	}
	_, sentence, ok := strings.Cut(err.Error(), prefix)
	sentence, _, _ = strings.Cut(strings.TrimSpace(sentence), "\n")
	t.Logf("%.400s", sentence)
	if !ok {
		t.Errorf("%q is not from the driver", err)
	}
	for _, w := range want {
		if !strings.Contains(sentence, w) {
			t.Errorf("%q does not name %q", sentence, w)
		}
	}
	return sentence
}
