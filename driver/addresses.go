package driver

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	docker "github.com/docker/go-plugins-helpers/network"
)

// parsePools returns the subnets that Docker's address management gave a network.
// Docker's null driver gives none, or the whole of the address space.
func parsePools(v4, v6 []*docker.IPAMData) ([]netip.Prefix, error) {
	var subnets []netip.Prefix
	for _, family := range []struct {
		pools []*docker.IPAMData
		is4   bool
	}{{v4, true}, {v6, false}} {
		for _, data := range family.pools {
			if data == nil || data.Pool == "" {
				continue
			}
			p, err := netip.ParsePrefix(data.Pool)
			if err != nil {
				return nil, fmt.Errorf("subnet %q is not an address with a prefix length", clip(data.Pool))
			}
			if p.Addr().Is4() != family.is4 || p.Addr().Is4In6() {
				return nil, fmt.Errorf("subnet %s is of the wrong address family", p)
			}
			if p.Bits() > 0 {
				subnets = append(subnets, p.Masked())
			}
		}
	}
	return subnets, nil
}

// parseGateways returns the gateways that Docker's address management keeps in the
// subnets of a network: no container of Docker's gets such an address. Docker's null driver
// gives none, or 0.0.0.0.
func parseGateways(v4, v6 []*docker.IPAMData) ([]netip.Addr, error) {
	var gateways []netip.Addr
	for _, data := range slices.Concat(v4, v6) {
		if data == nil || data.Gateway == "" {
			continue
		}
		p, err := netip.ParsePrefix(data.Gateway)
		if err == nil && p.Addr().IsUnspecified() {
			continue
		}
		if err != nil || !isGateway(p.Addr()) {
			return nil, fmt.Errorf("gateway %q is not a container's address with a prefix length: give another --gateway", clip(data.Gateway))
		}
		if !slices.Contains(gateways, p.Addr()) {
			gateways = append(gateways, p.Addr())
		}
	}
	return gateways, nil
}

// isGateway reports whether an address can be a gateway's.
func isGateway(a netip.Addr) bool {
	return a.IsValid() && a.Zone() == "" && !a.Is4In6() && !a.IsUnspecified() && !a.IsMulticast()
}

// parseAddresses returns the addresses Docker gave an endpoint: none, or one of a
// family, each inside one of the network's subnets.
func parseAddresses(i *docker.EndpointInterface, subnets []netip.Prefix) ([]netip.Addr, error) {
	var addrs []netip.Addr
	for _, family := range []struct {
		text string
		is4  bool
	}{{i.Address, true}, {i.AddressIPv6, false}} {
		if family.text == "" {
			continue
		}
		p, err := netip.ParsePrefix(family.text)
		if err != nil {
			return nil, fmt.Errorf("address %q is not an address with a prefix length", clip(family.text))
		}
		addr := p.Addr()
		if addr.Is4() != family.is4 || addr.Is4In6() {
			return nil, fmt.Errorf("address %s is of the wrong address family", addr)
		}
		if addr.IsUnspecified() || addr.IsMulticast() {
			return nil, fmt.Errorf("address %s cannot be a container's", addr)
		}
		if !inside(addr, subnets) {
			return nil, fmt.Errorf("address %s is in no subnet of the network (%s): give one that is", addr, join(subnets))
		}
		addrs = append(addrs, addr)
	}
	return addrs, nil
}

// inside reports whether the address is in one of the subnets. A network without
// subnets has addresses that are not Docker's concern.
func inside(addr netip.Addr, subnets []netip.Prefix) bool {
	for _, s := range subnets {
		if s.Contains(addr) {
			return true
		}
	}
	return len(subnets) == 0
}

func join(subnets []netip.Prefix) string {
	text := make([]string, len(subnets))
	for i, s := range subnets {
		text[i] = s.String()
	}
	return strings.Join(text, ", ")
}

// parseMAC reads the MAC address that the user chose for a container.
func parseMAC(text string) ([6]byte, error) {
	hw, err := net.ParseMAC(text)
	if err != nil || len(hw) != 6 {
		return [6]byte{}, fmt.Errorf("MAC address %q: give six bytes, such as 0a:00:00:00:00:01", clip(text))
	}
	mac := [6]byte(hw)
	if mac[0]&1 != 0 || mac == ([6]byte{}) {
		return [6]byte{}, fmt.Errorf("MAC address %s cannot be a container's: give a unicast one, such as 0a:00:00:00:00:01", hw)
	}
	return mac, nil
}

// deriveMAC returns the MAC address of an endpoint for which the user chose none.
// It depends on what a container keeps over a restart, its overlay and its address,
// so neighbours need not learn it again; without an address, on the endpoint. It is
// locally administered and not of Docker's own 02:42 kind.
func deriveMAC(overlay string, addrs []netip.Addr, endpointID string) [6]byte {
	h := sha256.New()
	h.Write([]byte("evio mac 1"))
	part := func(b []byte) {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(b))))
		h.Write(b)
	}
	part([]byte(overlay))
	if len(addrs) > 0 {
		part(addrs[0].AsSlice())
	} else {
		part([]byte("endpoint"))
		part([]byte(endpointID))
	}
	mac := [6]byte(h.Sum(nil))
	mac[0] = mac[0]&^0x01 | 0x02
	if mac[0] == 0x02 && mac[1] == 0x42 {
		mac[0] = 0x06
	}
	return mac
}
