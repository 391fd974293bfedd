package driver

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestHints: what users of other drivers write, and what is meant.
func TestHints(t *testing.T) {
	for key, want := range map[string]string{
		"evio.mtu": optionMTU, "mtu": optionMTU, "MTU": optionMTU, "com.docker.network.mtu": optionMTU, "driver.mtu": optionMTU,
		"overlay": optionOverlay, "evio.name": optionOverlay, "gateway": optionGateway, "evio.encrypt": optionEncryption,
		"evio.overly": optionOverlay, "evio.gatewya": optionGateway, "com.docker.network.driver.mut": optionMTU,
		"evio.internal": "--internal", "internal": "--internal", "evio.subnet": "--subnet", "subnet": "--subnet",
		"evio.ip-range": "--ip-range", "evio.ip_range": "--ip-range", "evio.ipv6": "--ipv6", "evio.ip": "--ip of docker run",
		"evio.mac": "--mac-address", "evio.ifname": "endpoint.ifname", "evio.secret": "configuration file",
		"com.docker.network.container_interface_prefix": optionIfPrefix, "evio.iface_prefix": optionIfPrefix,
		"com.docker.network.container_iface_prefx": optionIfPrefix,
	} {
		says(t, unknownOption(key), `"`+key+`"`, "did you mean ", want)
	}
	for _, key := range []string{"", "parent", "x", "evio.", "evio.vlan", "com.docker.network.bridge", "com.docker.network.x", "vxlan"} {
		if err := unknownOption(key); hint.MatchString(err.Error()) {
			t.Errorf("%q: %v", key, err)
		}
	}
	for key, want := range map[string]string{
		"evio.mac": "--mac-address", "evio.ip": "--ip of", "ifname": optionIfName, "interface_name": optionIfName, "evio.sysctls": optionSysctls,
		"com.docker.network.endpoint.sysctl": optionSysctls, "mtu": optionMTU + " of docker network create", "alias": "--alias",
	} {
		says(t, unknownEndpointOption(key), "attachment", "did you mean ", want)
	}
	for _, key := range networkOptionNames {
		says(t, unknownEndpointOption(key), "belongs to the network")
	}
	says(t, unknownEndpointOption("x.y"), "leave it out")
}

var hint = regexp.MustCompile(`did you mean (.*)\?`)

// TestHintsAreNear: a hint is two edits away at most, or an alias.
func TestHintsAreNear(t *testing.T) {
	words := slices.Concat(networkOptionNames, endpointOptionNames, slices.Collect(maps.Keys(networkDecisions)), slices.Collect(maps.Keys(endpointDecisions)))
	hinted := 0
	rapid.Check(t, func(t *rapid.T) {
		key := []byte(rapid.OneOf(rapid.SampledFrom(words), rapid.StringMatching(`(evio\.|com\.docker\.network\.)?[a-z_.]{0,12}`)).Draw(t, "word"))
		for range rapid.IntRange(0, 4).Draw(t, "edits") {
			at := rapid.IntRange(0, len(key)).Draw(t, "at")
			switch c := byte(rapid.IntRange('a', 'z').Draw(t, "letter")); {
			case at == len(key):
				key = append(key, c)
			case rapid.Bool().Draw(t, "delete"):
				key = slices.Delete(key, at, at+1)
			default:
				key[at] = c
			}
		}
		for _, c := range []struct {
			err    error
			names  []string
			tables []map[string]string
		}{
			{unknownOption(string(key)), networkOptionNames, []map[string]string{aliases}},
			{unknownEndpointOption(string(key)), endpointOptionNames, []map[string]string{endpointAliases, aliases}},
		} {
			found := hint.FindStringSubmatch(c.err.Error())
			if found == nil {
				continue
			}
			hinted++
			near := slices.ContainsFunc(c.names, func(name string) bool {
				return found[1] == name && editable(strings.ToLower(string(key)), name, 2)
			})
			alias := slices.ContainsFunc(c.tables, func(table map[string]string) bool { return table[lastWord(string(key))] != "" })
			if !near && !alias {
				t.Errorf("%q: %v", key, c.err)
			}
		}
	})
	if hinted == 0 {
		t.Error("no word had a hint")
	}
}

// editable reports whether so many edits make one word the other.
func editable(a, b string, edits int) bool {
	switch {
	case a == b:
		return true
	case edits == 0 || len(a)-len(b) > edits || len(b)-len(a) > edits:
		return false
	case a == "" || b == "":
		return true
	case a[0] == b[0]:
		return editable(a[1:], b[1:], edits)
	}
	return editable(a[1:], b, edits-1) || editable(a, b[1:], edits-1) || editable(a[1:], b[1:], edits-1)
}
