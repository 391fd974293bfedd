package driver

import (
	"fmt"
	"slices"
	"strings"

	"evio/internal/suggest"
)

// aliases are what users call things that evio or Docker calls otherwise, or that are no
// options: the last word of what was given, and what to give. Names that are merely
// mistyped need no entry.
var aliases = map[string]string{
	"mtu":        optionMTU,
	"overlay":    optionOverlay,
	"name":       optionOverlay,
	"network":    optionOverlay,
	"gateway":    optionGateway,
	"encryption": optionEncryption,
	"encrypt":    optionEncryption,
	"guard":      optionGuard,
	"mode":       optionGuard,
	"security":   optionGuard,

	"iface_prefix":               optionIfPrefix,
	"interface_prefix":           optionIfPrefix,
	"container_iface_prefix":     optionIfPrefix,
	"container_interface_prefix": optionIfPrefix,

	"internal":       "--internal",
	"subnet":         "--subnet",
	"ip_range":       "--ip-range",
	"iprange":        "--ip-range",
	"ipv4":           "--ipv4",
	"ipv6":           "--ipv6",
	"enable_ipv4":    "--ipv4",
	"enable_ipv6":    "--ipv6",
	"aux_address":    "--aux-address",
	"attachable":     "--attachable",
	"label":          "--label",
	"scope":          "--scope",
	"ip":             "--ip of docker run or docker network connect",
	"ip6":            "--ip6 of docker run or docker network connect",
	"mac":            "--mac-address of docker run",
	"macaddress":     "--mac-address of docker run",
	"mac_address":    "--mac-address of docker run",
	"ifname":         "--driver-opt " + optionIfName + " of docker network connect",
	"interface_name": "--driver-opt " + optionIfName + " of docker network connect",
	"secret":         "secrets in the configuration file of evio",
}

// endpointAliases are those at an attachment that mean something else there.
var endpointAliases = map[string]string{
	"alias":          "--alias of docker network connect",
	"ifname":         optionIfName,
	"interface_name": optionIfName,
	"sysctl":         optionSysctls,
	"sysctls":        optionSysctls,
}

// lastWord is an option without what says whose it is: mtu of evio.mtu.
func lastWord(key string) string {
	key = strings.ToLower(key)
	return strings.ReplaceAll(key[strings.LastIndexByte(key, '.')+1:], "-", "_")
}

// suggestOption returns what an unknown option most likely means.
func suggestOption(key string, names []string, tables ...map[string]string) (string, bool) {
	if near, ok := suggest.Nearest(key, names); ok {
		return near, true
	}
	for _, table := range tables {
		if name, ok := table[lastWord(key)]; ok {
			return name, true
		}
	}
	return "", false
}

func unknownOption(key string) error {
	known := strings.Join(networkOptionNames, ", ")
	if near, ok := suggestOption(key, networkOptionNames, aliases); ok {
		return fmt.Errorf("unknown option %q: did you mean %s? evio knows %s", clip(key), near, known)
	}
	return fmt.Errorf("unknown option %q: evio knows %s", clip(key), known)
}

var endpointOptionNames = []string{optionIfName, optionSysctls}

func unknownEndpointOption(key string) error {
	if _, docker := decideNetwork(key); slices.Contains(networkOptionNames, key) || docker && !strings.HasPrefix(key, prefixEndpoint) {
		return fmt.Errorf("option %s belongs to the network, not to a container's attachment: give it to docker network create", clip(key))
	}
	what := fmt.Sprintf("unknown option %q for a container's attachment", clip(key))
	near, ok := suggestOption(key, endpointOptionNames, endpointAliases, aliases)
	switch {
	case !ok:
		return fmt.Errorf("%s: leave it out, evio knows %s", what, strings.Join(endpointOptionNames, " and "))
	case slices.Contains(networkOptionNames, near):
		return fmt.Errorf("%s: did you mean %s of docker network create?", what, near)
	default:
		return fmt.Errorf("%s: did you mean %s?", what, near)
	}
}
