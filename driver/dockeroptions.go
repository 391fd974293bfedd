package driver

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Docker's own options that evio acts on, or that are decided elsewhere than in the tables.
const (
	optionIfPrefix = "com.docker.network.container_iface_prefix"
	optionIfName   = "com.docker.network.endpoint.ifname"
	optionSysctls  = "com.docker.network.endpoint.sysctls"
	prefixEndpoint = "com.docker.network.endpoint."
)

// decision is what becomes of one of Docker's own options where a user gives it. The
// zero decision accepts it, since evio or Docker acts on it.
type decision struct {
	// advice, if not empty: the option is refused, and this is what to do.
	advice string
	// since is the first engine that acts on the option. Older ones ignore it for all
	// drivers, so it is refused there.
	since engineVersion
	// flag is the switch of docker network create that the option repeats. Some
	// engines act on the option and some do not, so it is compared with what the
	// engine says the switch is.
	flag string
}

const (
	noEffect = "it has no effect here, leave it out"
	// wayOut is where what the bridge driver does for published ports and for the
	// outside world can be set.
	wayOut = "containers of evio leave by Docker's own network docker_gwbridge, so leave it out, or create docker_gwbridge anew with it"
)

// networkDecisions are those about the options of a network, as in docker network
// create -o.
var networkDecisions = map[string]decision{
	optionMTU:      {},
	optionIfPrefix: {},

	keyInternal: {flag: "--internal"},
	keyIPv4:     {flag: "--ipv4"},
	keyIPv6:     {flag: "--ipv6"},

	"com.docker.network.advertise_addr_nmsgs": {since: engineVersion{major: 28}},
	"com.docker.network.advertise_addr_ms":    {since: engineVersion{major: 28}},

	"com.docker.network.bridge.name":                    {advice: "evio names its bridges itself, leave it out"},
	"com.docker.network.bridge.default_bridge":          {advice: noEffect},
	"com.docker.network.bridge.inhibit_ipv4":            {advice: "a bridge of evio has no address anyway, leave it out"},
	"com.docker.network.bridge.enable_icc":              {advice: "containers of one evio network always reach each other, so give those that must not a network of their own"},
	"com.docker.network.bridge.enable_ip_masquerade":    {advice: wayOut},
	"com.docker.network.bridge.gateway_mode_ipv4":       {advice: wayOut},
	"com.docker.network.bridge.gateway_mode_ipv6":       {advice: wayOut},
	"com.docker.network.bridge.host_binding_ipv4":       {advice: wayOut},
	"com.docker.network.bridge.trusted_host_interfaces": {advice: wayOut},
	"com.docker.network.driver.private.no_proxy_6to4":   {advice: wayOut},
	"com.docker.network.host_ipv4":                      {advice: wayOut},
	"com.docker.network.host_ipv6":                      {advice: wayOut},

	"com.docker.network.driver.overlay.vxlanid_list": {advice: "evio uses no VXLAN, leave it out"},
	"com.docker.network.gateway":                     {advice: "use --gateway"},
	"com.docker.network.portmap":                     {advice: "publish ports with -p of docker run"},
	keyGeneric:                                       {advice: noEffect},
	"encrypted":                                      {advice: "evio encrypts everything between engines, leave it out"},
}

// networkFamilies decide about options whose names begin so and that have no decision
// of their own, such as those of newer engines.
var networkFamilies = map[string]decision{
	prefixEndpoint:                    {advice: "it belongs to a container's attachment, give it with docker run --network name=NETWORK,driver-opt=… or docker network connect --driver-opt"},
	"com.docker.network.bridge.":      {advice: "it is of Docker's bridge driver and has no effect here, leave it out"},
	"com.docker.network.windowsshim.": {advice: "it is of Docker on Windows and has no effect here, leave it out"},
}

// endpointDecisions are those about the options of a container's attachment. The first
// five are not a user's: Docker gives them itself.
var endpointDecisions = map[string]decision{
	keyGeneric:                   {},
	"com.docker.network.portmap": {},
	"com.docker.network.endpoint.exposedports": {},
	"com.docker.network.endpoint.macaddress":   {},
	"com.docker.network.endpoint.dnsservers":   {},

	optionIfName:  {},
	optionSysctls: {since: engineVersion{major: 27}}, // Docker sets them itself
}

// check returns why an option that has this decision is refused, if it is.
func (d decision) check(key string, engine engineVersion) error {
	switch {
	case d.advice != "":
		return fmt.Errorf("option %s: %s", clip(key), d.advice)
	case engine.before(d.since):
		return fmt.Errorf("option %s: Docker %s does not act on it, use Docker %s or newer, or leave it out", key, engine.text, d.since)
	}
	return nil
}

// checkSwitch compares an option that repeats a switch with what the engine says the
// switch is: an engine that acts on the option says so there.
func checkSwitch(key, flagName string, value any, engineSays bool) error {
	text, ok := value.(string)
	given, err := strconv.ParseBool(text)
	switch {
	case !ok || err != nil:
		return fmt.Errorf("option %s is %q: give true or false, or use %s", key, clip(fmt.Sprint(value)), flagName)
	case given == engineSays:
		return nil
	case key == keyIPv4 && !given:
		return fmt.Errorf("option %s=%s: this engine does not act on it, use %s=false, which Docker 28.0 and newer know", key, clip(text), flagName)
	case given:
		return fmt.Errorf("option %s=%s: Docker does not act on it here, use %s", key, clip(text), flagName)
	default:
		return fmt.Errorf("option %s=%s contradicts %s: leave one of them out", key, clip(text), flagName)
	}
}

// decideNetwork returns what becomes of an option of a network; false: it is unknown.
func decideNetwork(key string) (decision, bool) {
	if d, ok := networkDecisions[key]; ok {
		return d, true
	}
	for _, prefix := range slices.Sorted(maps.Keys(networkFamilies)) {
		if strings.HasPrefix(key, prefix) {
			return networkFamilies[prefix], true
		}
	}
	return decision{}, false
}

// checkEndpointOptions reads the options of an attachment and returns what its interface
// is to be called, empty if that is left to evio. Options that are neither Docker's own
// nor acted on are refused. A user's are always text, so others are Docker's.
func checkEndpointOptions(all map[string]any, engine engineVersion) (ifName string, err error) {
	for _, key := range sortedKeys(all) {
		d, known := endpointDecisions[key]
		_, text := all[key].(string)
		switch {
		case known:
			err = d.check(key, engine)
		case !text && strings.HasPrefix(key, "com.docker."):
		default:
			err = unknownEndpointOption(key)
		}
		if err == nil && key == optionIfName {
			ifName, err = parseIfName(all[key], engine)
		}
		if err != nil {
			return "", err
		}
	}
	return ifName, nil
}
