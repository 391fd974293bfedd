package driver

import (
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// dockerLabels returns the names of all options that Docker's own drivers know, with
// those of its engine, from the source of the module.
func dockerLabels(t *testing.T) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/docker/docker").Output()
	if err != nil {
		t.Fatal(err)
	}
	module := strings.TrimSpace(string(out))
	labels := map[string]bool{}
	for _, file := range []string{"libnetwork/netlabel/labels.go", "libnetwork/drivers/bridge/labels.go"} {
		files := token.NewFileSet()
		f, err := parser.ParseFile(files, filepath.Join(module, file), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		pkg, err := (&types.Config{}).Check(file, files, []*ast.File{f}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range pkg.Scope().Names() {
			if c, ok := pkg.Scope().Lookup(name).(*types.Const); ok && c.Val().Kind() == constant.String {
				labels[constant.StringVal(c.Val())] = true
			}
		}
	}
	for _, prefix := range []string{"com.docker.network", "com.docker.network.driver", "com.docker.network.driver.private"} {
		if !labels[prefix] {
			t.Errorf("%s is not among the labels", prefix)
		}
		delete(labels, prefix)
	}
	if len(labels) < 25 {
		t.Errorf("%d labels: %v", len(labels), labels)
	}
	return slices.Sorted(maps.Keys(labels))
}

// TestDockerOptions: each option of Docker's is accepted where evio or Docker acts on it,
// and refused with what to do elsewhere.
func TestDockerOptions(t *testing.T) {
	const way = "docker_gwbridge"
	const network = "belongs to the network"
	const attachment = "belongs to a container's attachment"
	// At a network and at an attachment: what the refusal says; empty: accepted.
	table := map[string]struct{ value, network, endpoint string }{
		"com.docker.network.generic":                          {"x", "leave it out", ""},
		"com.docker.network.portmap":                          {"x", "-p", ""},
		"com.docker.network.endpoint.macaddress":              {"x", attachment, ""},
		"com.docker.network.endpoint.exposedports":            {"x", attachment, ""},
		"com.docker.network.endpoint.dnsservers":              {"x", attachment, ""},
		"com.docker.network.endpoint.sysctls":                 {"net.ipv4.conf.IFNAME.log_martians=1", attachment, ""},
		"com.docker.network.endpoint.ifname":                  {"lan0", attachment, ""},
		"com.docker.network.enable_ipv4":                      {"true", "", network},
		"com.docker.network.enable_ipv6":                      {"false", "", network},
		"com.docker.network.driver.mtu":                       {"1400", "", network},
		"com.docker.network.advertise_addr_nmsgs":             {"1", "", network},
		"com.docker.network.advertise_addr_ms":                {"1000", "", network},
		"com.docker.network.driver.overlay.vxlanid_list":      {"4096", "no VXLAN", network},
		"com.docker.network.gateway":                          {"10.9.0.1", "--gateway", network},
		"com.docker.network.internal":                         {"true", "--internal", network},
		"com.docker.network.container_iface_prefix":           {"lan", "", network},
		"com.docker.network.host_ipv4":                        {"192.0.2.1", way, network},
		"com.docker.network.host_ipv6":                        {"2001:db8::1", way, network},
		"com.docker.network.driver.private.no_proxy_6to4":     {"1", way, network},
		"com.docker.network.bridge.name":                      {"br0", "names its bridges itself", network},
		"com.docker.network.bridge.enable_ip_masquerade":      {"true", way, network},
		"com.docker.network.bridge.gateway_mode_ipv4":         {"nat", way, network},
		"com.docker.network.bridge.gateway_mode_ipv6":         {"nat", way, network},
		"com.docker.network.bridge.enable_icc":                {"false", "a network of their own", network},
		"com.docker.network.bridge.inhibit_ipv4":              {"true", "no address anyway", network},
		"com.docker.network.bridge.host_binding_ipv4":         {"127.0.0.1", way, network},
		"com.docker.network.bridge.default_bridge":            {"true", "leave it out", network},
		"com.docker.network.bridge.trusted_host_interfaces":   {"eth0", way, network},
		"com.docker.network.bridge.of_tomorrow":               {"x", "Docker's bridge driver", network},
		"com.docker.network.windowsshim.vlanid":               {"1", "Docker on Windows", network},
		"com.docker.network.endpoint.of_tomorrow":             {"x", attachment, "unknown option"},
		"com.docker.network.endpoint.ifnam":                   {"x", attachment, "did you mean com.docker.network.endpoint.ifname?"},
		"com.docker.network.of_tomorrow":                      {"x", "unknown option", "unknown option"},
		"com.docker.network.endpoint.com.docker.network.name": {"x", attachment, "unknown option"},
		"encrypted": {"", "encrypts everything", network},
	}
	for _, label := range dockerLabels(t) {
		if _, ok := table[label]; !ok {
			t.Errorf("%s is Docker's and has no row in this table", label)
		}
	}
	for key, row := range table {
		t.Run(key, func(t *testing.T) {
			_, err := parseNetworkOptions(map[string]any{keyGeneric: map[string]any{key: row.value}}, engineVersion{})
			says(t, err, row.network)
			_, err = checkEndpointOptions(map[string]any{key: row.value}, engineVersion{})
			says(t, err, row.endpoint)
		})
	}
	// What is no text comes from the engine, also from one of tomorrow.
	if _, err := checkEndpointOptions(map[string]any{"com.docker.network.endpoint.of_tomorrow": []any{1.0}}, engineVersion{}); err != nil {
		t.Error(err)
	}
}

// says compares an error with what it has to mention; nothing: that there is none.
func says(t *testing.T, err error, want ...string) {
	t.Helper()
	for _, part := range want {
		if part == "" && err != nil || part != "" && (err == nil || !strings.Contains(err.Error(), part)) {
			t.Errorf("error %v, want %q", err, part)
		}
	}
}

// TestSwitchesAsOptions: what an option says of a switch has to be what the engine says
// that it is.
func TestSwitchesAsOptions(t *testing.T) {
	for _, c := range []struct {
		key, given string
		engine     any
		want       string
	}{
		{keyInternal, "true", nil, "use --internal"},
		{keyInternal, "1", false, "use --internal"},
		{keyInternal, "true", true, ""},
		{keyInternal, "false", nil, ""},
		{keyInternal, "false", true, "contradicts --internal"},
		{keyInternal, "yes", true, "true or false"},
		{keyIPv6, "true", false, "use --ipv6"},
		{keyIPv6, "true", true, ""},
		{keyIPv6, "false", nil, ""},
		{keyIPv6, "false", true, "contradicts --ipv6"},
		{keyIPv4, "false", nil, "use --ipv4=false, which Docker 28.0 and newer know"},
		{keyIPv4, "false", false, ""},
		{keyIPv4, "true", nil, ""},
		{keyIPv4, "true", false, "use --ipv4"},
		{keyIPv4, "", nil, "true or false"},
	} {
		all := map[string]any{keyGeneric: map[string]any{c.key: c.given}}
		if c.engine != nil {
			all[c.key] = c.engine
		}
		o, err := parseNetworkOptions(all, engineVersion{})
		t.Run(c.key+"="+c.given, func(t *testing.T) { says(t, err, c.want) })
		if internal, _ := c.engine.(bool); err == nil && c.key == keyInternal && o.Internal != internal {
			t.Errorf("%s=%s makes the network's internal %v", c.key, c.given, o.Internal)
		}
	}
}

// TestEngineVersions: options that the engine acts on by itself are refused where it is
// known to be too old for that.
func TestEngineVersions(t *testing.T) {
	for text, want := range map[string]string{
		"20.10.24+dfsg1": "20.10", "28.5.2+dfsg4": "28.5", "29.8.0": "29.8", "29.8": "29.8", "30.0.0-rc.1": "30.0",
		"": "0.0", "dev": "0.0", "0.0.0-dev": "0.0", "29": "0.0", "v29.8.0": "0.0", "-1.2": "0.0", "999999.1": "0.0",
	} {
		if got := parseEngineVersion(text); got.String() != want || got.major != 0 && got.text != text {
			t.Errorf("%q is %s (%q), want %s", text, got, got.text, want)
		}
	}
	old := parseEngineVersion("20.10.24+dfsg1")
	for _, v := range []engineVersion{{}, parseEngineVersion("28.0.0"), parseEngineVersion("29.1.0")} {
		if v.before(engineVersion{major: 28}) || v.before(engineVersion{major: 20, minor: 11}) {
			t.Errorf("%q is too old", v.text)
		}
	}
	if !old.before(engineVersion{major: 28}) || !old.before(engineVersion{major: 20, minor: 11}) || old.before(engineVersion{major: 20, minor: 10}) {
		t.Error("20.10 is not before 28 or 20.11, or is before itself")
	}
	for _, key := range []string{"com.docker.network.advertise_addr_nmsgs", "com.docker.network.advertise_addr_ms"} {
		_, err := parseNetworkOptions(map[string]any{keyGeneric: map[string]any{key: "1"}}, old)
		says(t, err, key, "Docker 20.10.24+dfsg1 does not act on it", "28.0")
	}
	_, err := checkEndpointOptions(map[string]any{optionSysctls: "x"}, old)
	says(t, err, optionSysctls, "Docker 20.10.24+dfsg1 does not act on it", "27.0")
}
