package driver

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"evio/driver/spelling"
)

// Options of a network, as in docker network create -o NAME=VALUE.
const (
	optionOverlay    = "evio.overlay"
	optionGateway    = "evio.gateway"
	optionEncryption = "evio.encryption"
	optionMTU        = "com.docker.network.driver.mtu"
)

// Values of evio.gateway.
const (
	// GatewayDocker leaves the way out, and published ports, to a bridge that
	// Docker adds itself.
	GatewayDocker = "docker"
	// GatewayNone leaves containers without a way out.
	GatewayNone = "none"
)

// EncryptionRequired is the value of evio.encryption: frames leave the engine in
// records only, never in clear text.
const EncryptionRequired = "required"

// Limits of the MTU in bytes: the least that every IPv4 (RFC 791) or IPv6
// (RFC 8200 section 5) link carries, and the usual jumbo frame.
const (
	minMTU4    = 576
	minMTU6    = 1280
	maxMTU     = 9000
	defaultMTU = 1400
)

// maxOverlayName is the longest name of an overlay in bytes.
const maxOverlayName = 64

// Docker's own keys around the options of the user.
const (
	keyGeneric  = "com.docker.network.generic"
	keyIPv6     = "com.docker.network.enable_ipv6"
	keyIPv4     = "com.docker.network.enable_ipv4"
	keyInternal = "com.docker.network.internal"
)

var networkOptionNames = []string{optionOverlay, optionGateway, optionEncryption, optionMTU}

// dockerNetworkOptions are options that the user may give with -o and that Docker
// itself acts on.
var dockerNetworkOptions = []string{
	keyIPv4, keyIPv6, keyInternal,
	"com.docker.network.advertise_addr_nmsgs",
	"com.docker.network.advertise_addr_ms",
	"com.docker.network.container_iface_prefix",
}

// networkOptions is what the options of a network come to.
type networkOptions struct {
	Overlay    string // as given; empty: the network's own name is to serve
	Gateway    string
	Encryption string
	MTU        int
	Internal   bool
	IPv6       bool
}

// parseNetworkOptions reads the options of CreateNetwork: the user's are in a map
// of their own within Docker's.
func parseNetworkOptions(all map[string]any) (networkOptions, error) {
	o := networkOptions{Gateway: GatewayDocker, Encryption: EncryptionRequired, MTU: defaultMTU}
	var err error
	if o.IPv6, err = flag(all, keyIPv6); err != nil {
		return o, err
	}
	if o.Internal, err = flag(all, keyInternal); err != nil {
		return o, err
	}
	for _, key := range sortedKeys(all) {
		if !strings.HasPrefix(key, "com.docker.") {
			return o, unknownOption(key)
		}
	}
	user, err := userOptions(all)
	if err != nil {
		return o, err
	}
	for _, key := range sortedKeys(user) {
		if err := o.set(key, user[key]); err != nil {
			return o, err
		}
	}
	_, gatewayGiven := user[optionGateway]
	return o, o.check(gatewayGiven)
}

func userOptions(all map[string]any) (map[string]any, error) {
	v, ok := all[keyGeneric]
	if !ok || v == nil {
		return nil, nil
	}
	user, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s is a %T where Docker sends the options by name", keyGeneric, v)
	}
	return user, nil
}

func (o *networkOptions) set(key string, value any) error {
	if slices.Contains(dockerNetworkOptions, key) {
		return nil
	}
	if !slices.Contains(networkOptionNames, key) {
		return unknownOption(key)
	}
	text, ok := value.(string)
	if !ok {
		return fmt.Errorf("option %s is a %T: give it as text", key, value)
	}
	switch key {
	case optionOverlay:
		if err := checkOverlayName(text); err != nil {
			return fmt.Errorf("option %s: %w", optionOverlay, err)
		}
		o.Overlay = text
	case optionGateway:
		if text != GatewayDocker && text != GatewayNone {
			return fmt.Errorf("option %s is %q: give %q (Docker adds a way out and publishes ports) or %q (no way out)",
				optionGateway, clip(text), GatewayDocker, GatewayNone)
		}
		o.Gateway = text
	case optionEncryption:
		if text != EncryptionRequired {
			return fmt.Errorf("option %s is %q: %q, which is also the default, is the one value known: everything between engines is encrypted",
				optionEncryption, clip(text), EncryptionRequired)
		}
		o.Encryption = text
	case optionMTU:
		mtu, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("option %s is %q: give a number of bytes from %d to %d", optionMTU, clip(text), minMTU4, maxMTU)
		}
		o.MTU = mtu
	}
	return nil
}

// check finds values out of range and options that contradict each other.
func (o *networkOptions) check(gatewayGiven bool) error {
	if o.MTU < minMTU4 || o.MTU > maxMTU {
		return fmt.Errorf("option %s is %d: give a number of bytes from %d to %d", optionMTU, o.MTU, minMTU4, maxMTU)
	}
	if o.Internal {
		if gatewayGiven && o.Gateway == GatewayDocker {
			return fmt.Errorf("option %s=%s asks for a way out and --internal for none: leave one of them away", optionGateway, GatewayDocker)
		}
		o.Gateway = GatewayNone
	}
	return nil
}

// checkMTU6 is apart from check because IPv6 may also show in the pools alone.
func checkMTU6(mtu int) error {
	if mtu < minMTU6 {
		return fmt.Errorf("option %s is %d and IPv6 needs at least %d: raise it, or create the network without --ipv6", optionMTU, mtu, minMTU6)
	}
	return nil
}

func checkOverlayName(name string) error {
	if name == "" || len(name) > maxOverlayName {
		return fmt.Errorf("a name of %d bytes: give 1 to %d", len(name), maxOverlayName)
	}
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return fmt.Errorf("%q has a character that names of overlays cannot have: use letters, digits, '.', '_' and '-'", clip(name))
		}
	}
	return nil
}

// checkEndpointOptions refuses options of an attachment that are not Docker's own:
// evio has none.
func checkEndpointOptions(all map[string]any) error {
	for _, key := range sortedKeys(all) {
		switch {
		case strings.HasPrefix(key, "com.docker.network.endpoint."), key == "com.docker.network.portmap", key == keyGeneric:
		default:
			if slices.Contains(networkOptionNames, key) {
				return fmt.Errorf("option %s belongs to the network, not to a container's attachment: give it to docker network create", key)
			}
			return fmt.Errorf("unknown option %q for a container's attachment: evio has none, leave it away", clip(key))
		}
	}
	return nil
}

// flag reads one of Docker's own switches.
func flag(all map[string]any, key string) (bool, error) {
	switch v := all[key].(type) {
	case nil:
		return false, nil
	case bool:
		return v, nil
	case string:
		if b, err := strconv.ParseBool(v); err == nil {
			return b, nil
		}
	}
	return false, errors.New(key + " is neither true nor false")
}

func unknownOption(key string) error {
	known := strings.Join(networkOptionNames, ", ")
	if near, ok := spelling.Nearest(key, networkOptionNames); ok {
		return fmt.Errorf("unknown option %q: did you mean %s? evio knows %s", clip(key), near, known)
	}
	return fmt.Errorf("unknown option %q: evio knows %s", clip(key), known)
}
