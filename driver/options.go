package driver

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"evio/driver/plane"
)

// Options of a network, as in docker network create -o NAME=VALUE.
const (
	optionOverlay    = "evio.overlay"
	optionGateway    = "evio.gateway"
	optionEncryption = "evio.encryption"
	optionGuard      = "evio.guard"
	optionMTU        = "com.docker.network.driver.mtu"
)

var guardModes = []string{plane.GuardStrict, plane.GuardClaim, plane.GuardOpen}

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

// networkOptionNames are the options that evio acts on.
var networkOptionNames = []string{optionOverlay, optionGateway, optionEncryption, optionGuard, optionMTU, optionIfPrefix}

// networkOptions is what the options of a network come to.
type networkOptions struct {
	Overlay    string // as given; empty: the network's own name is used
	Gateway    string
	Encryption string
	Guard      string
	MTU        int
	Internal   bool
	IPv6       bool
	IfPrefix   string // of interfaces inside containers; empty: the usual one
}

// parseNetworkOptions reads the options of CreateNetwork: the user's are in a map
// of their own within Docker's.
func parseNetworkOptions(all map[string]any, engine engineVersion) (networkOptions, error) {
	o := networkOptions{Gateway: plane.GatewayDocker, Encryption: plane.EncryptionRequired, Guard: plane.GuardClaim, MTU: defaultMTU}
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
		if err := checkNetworkOption(key, user[key], all, engine); err != nil {
			return o, err
		}
		if slices.Contains(networkOptionNames, key) {
			err = o.set(key, user[key])
		}
		if err != nil {
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

// checkNetworkOption refuses what neither evio nor Docker acts on.
func checkNetworkOption(key string, value any, all map[string]any, engine engineVersion) error {
	d, known := decideNetwork(key)
	switch {
	case d.flag != "":
		says, err := flag(all, key)
		if all[key] == nil {
			says = key == keyIPv4 // of engines that know no other networks
		}
		if err != nil {
			return err
		}
		return checkSwitch(key, d.flag, value, says)
	case known:
		return d.check(key, engine)
	case slices.Contains(networkOptionNames, key):
		return nil
	}
	return unknownOption(key)
}

func (o *networkOptions) set(key string, value any) (err error) {
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
		if text != plane.GatewayDocker && text != plane.GatewayNone {
			return fmt.Errorf("option %s is %q: give %q (Docker adds a way out and publishes ports) or %q (no way out)",
				optionGateway, clip(text), plane.GatewayDocker, plane.GatewayNone)
		}
		o.Gateway = text
	case optionEncryption:
		if text != plane.EncryptionRequired {
			return fmt.Errorf("option %s is %q: %q, which is also the default, is the one value known: everything between engines is encrypted",
				optionEncryption, clip(text), plane.EncryptionRequired)
		}
		o.Encryption = text
	case optionGuard:
		if !slices.Contains(guardModes, text) {
			return fmt.Errorf("option %s is %q: give %q (containers speak with the addresses that Docker gives them), %q (they may also take free addresses of the subnets, as keepalived does; the default) or %q (they may also route, bridge and serve DHCP)",
				optionGuard, clip(text), plane.GuardStrict, plane.GuardClaim, plane.GuardOpen)
		}
		o.Guard = text
	case optionMTU:
		mtu, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("option %s is %q: give a number of bytes from %d to %d", optionMTU, clip(text), minMTU4, maxMTU)
		}
		o.MTU = mtu
	case optionIfPrefix:
		o.IfPrefix, err = parseIfPrefix(text)
	}
	return err
}

// check finds values out of range and options that contradict each other.
func (o *networkOptions) check(gatewayGiven bool) error {
	if o.MTU < minMTU4 || o.MTU > maxMTU {
		return fmt.Errorf("option %s is %d: give a number of bytes from %d to %d", optionMTU, o.MTU, minMTU4, maxMTU)
	}
	if o.Internal {
		if gatewayGiven && o.Gateway == plane.GatewayDocker {
			return fmt.Errorf("option %s=%s asks for a way out and --internal for none: leave one of them out", optionGateway, plane.GatewayDocker)
		}
		o.Gateway = plane.GatewayNone
	}
	return nil
}

// checkMTU6 is not part of check, because only the pools may show that there is IPv6.
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
