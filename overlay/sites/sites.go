// Package sites is what a node tells the others about the place where it stands: what
// people call it, from which ranges its engine hands out addresses, which addresses are its
// gateways, and what its network is like. Two engines that hand out the same addresses give
// one to two containers sooner or later; two networks of one overlay with different MTUs,
// without a common subnet or with different rules for what containers may say do not carry
// everything, or nothing, between their containers.
//
// It is pure. A description comes over a session, whose far end is known; it is shown
// and compared. Nothing else follows from it, but that gateways are nobody's address.
package sites

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

const (
	// MaxName bounds the name of a site, in bytes.
	MaxName = 63
	// MaxRanges bounds the ranges in a description.
	MaxRanges = 16
	// MaxSubnets bounds the subnets in a description.
	MaxSubnets = 16
	// MaxGateways bounds the gateways in a description.
	MaxGateways = 16
)

// Site describes a node's place.
type Site struct {
	Name   string         // as CheckName allows; empty: it has none
	Ranges []netip.Prefix // masked; none: not known

	MTU     int            // of the network, bytes; 0: not known
	Subnets []netip.Prefix // of the network, masked; none: it has none
	Guard   Guard          // what its containers may say
	Losing  bool           // it loses frames to limits or queues of its own, or has in the last minute

	Gateways []netip.Addr // of its subnets, as its engine has them
}

// Guard is what the containers of a network may say, as -o evio.guard has it.
type Guard string

// guards are the modes by their bytes on the wire.
var guards = []Guard{"", "strict", "claim", "open"}

// ErrMalformed is the reason for which Parse refuses a description.
var ErrMalformed = errors.New("malformed description of a site")

// CheckName reports why a site cannot have a name: it has the form of a label of a
// host's name, or is empty.
func CheckName(name string) error {
	if len(name) > MaxName {
		return fmt.Errorf("it has %d characters; use %d at most", len(name), MaxName)
	}
	for i, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case c == '-' && i > 0 && i < len(name)-1:
		default:
			return errors.New("use letters, digits and, between them, '-'")
		}
	}
	return nil
}

// Append encodes a description: the name behind its length, the number of ranges, each
// as prefix length, length of the address and address, the MTU in two bytes, the subnets
// like the ranges, 1 for a site that loses frames, otherwise 0, the mode of the guard, and the
// number of gateways, each as length of the address and address. What is beyond MaxRanges,
// MaxSubnets and MaxGateways is left out.
func (s Site) Append(b []byte) []byte {
	b = append(b, byte(len(s.Name)))
	b = append(b, s.Name...)
	b = appendPrefixes(b, s.Ranges[:min(len(s.Ranges), MaxRanges)])
	b = binary.BigEndian.AppendUint16(b, uint16(s.MTU))
	b = appendPrefixes(b, s.Subnets[:min(len(s.Subnets), MaxSubnets)])
	losing := byte(0)
	if s.Losing {
		losing = 1
	}
	gateways := s.Gateways[:min(len(s.Gateways), MaxGateways)]
	b = append(b, losing, byte(max(slices.Index(guards, s.Guard), 0)), byte(len(gateways)))
	for _, a := range gateways {
		addr := a.AsSlice()
		b = append(b, byte(len(addr)))
		b = append(b, addr...)
	}
	return b
}

func appendPrefixes(b []byte, list []netip.Prefix) []byte {
	b = append(b, byte(len(list)))
	for _, p := range list {
		addr := p.Addr().AsSlice()
		b = append(b, byte(p.Bits()), byte(len(addr)))
		b = append(b, addr...)
	}
	return b
}

// Parse decodes a description. What stands behind it is for later fields.
func Parse(b []byte) (Site, error) {
	var s Site
	name, b, ok := cut(b)
	if !ok || CheckName(string(name)) != nil {
		return Site{}, fmt.Errorf("%w: its name", ErrMalformed)
	}
	s.Name = string(name)
	var err error
	if s.Ranges, b, err = parsePrefixes(b, MaxRanges); err != nil {
		return Site{}, fmt.Errorf("%w: ranges: %w", ErrMalformed, err)
	}
	if len(b) < 2 {
		return Site{}, fmt.Errorf("%w: cut short", ErrMalformed)
	}
	s.MTU = int(binary.BigEndian.Uint16(b))
	if s.Subnets, b, err = parsePrefixes(b[2:], MaxSubnets); err != nil {
		return Site{}, fmt.Errorf("%w: subnets: %w", ErrMalformed, err)
	}
	if len(b) == 0 || b[0] > 1 {
		return Site{}, fmt.Errorf("%w: whether it loses frames", ErrMalformed)
	}
	s.Losing = b[0] == 1
	if len(b) < 2 || int(b[1]) >= len(guards) {
		return Site{}, fmt.Errorf("%w: what its containers may say", ErrMalformed)
	}
	s.Guard = guards[b[1]]
	if s.Gateways, err = parseAddrs(b[2:], MaxGateways); err != nil {
		return Site{}, fmt.Errorf("%w: gateways: %w", ErrMalformed, err)
	}
	return s, nil
}

// parseAddrs takes addresses, each behind its length, from the beginning of b.
func parseAddrs(b []byte, most byte) (list []netip.Addr, err error) {
	if len(b) == 0 || b[0] > most {
		return nil, errors.New("their number")
	}
	count := int(b[0])
	b = b[1:]
	for range count {
		raw, behind, ok := cut(b)
		addr, valid := netip.AddrFromSlice(raw)
		if !ok || !valid || addr.Is4In6() || addr.IsUnspecified() || addr.IsMulticast() {
			return nil, errors.New("one of them")
		}
		list, b = append(list, addr), behind
	}
	return list, nil
}

// parsePrefixes takes what appendPrefixes has written from the beginning of b.
func parsePrefixes(b []byte, most byte) (list []netip.Prefix, rest []byte, err error) {
	if len(b) == 0 || b[0] > most {
		return nil, nil, errors.New("their number")
	}
	count := int(b[0])
	b = b[1:]
	for range count {
		if len(b) == 0 {
			return nil, nil, errors.New("cut short")
		}
		bits := int(b[0])
		raw, behind, ok := cut(b[1:])
		addr, valid := netip.AddrFromSlice(raw)
		p := netip.PrefixFrom(addr, bits)
		if !ok || !valid || addr.Is4In6() || bits == 0 || !p.IsValid() || p != p.Masked() {
			return nil, nil, errors.New("one of them")
		}
		list, b = append(list, p), behind
	}
	return list, b, nil
}

// cut splits b behind the bytes that its first byte counts.
func cut(b []byte) (field, rest []byte, ok bool) {
	if len(b) == 0 || len(b)-1 < int(b[0]) {
		return nil, nil, false
	}
	n := 1 + int(b[0])
	return b[1:n], b[n:], true
}

// Equal reports whether two descriptions say the same.
func (s Site) Equal(o Site) bool {
	return s.Name == o.Name && slices.Equal(s.Ranges, o.Ranges) && s.MTU == o.MTU && slices.Equal(s.Subnets, o.Subnets) && s.Losing == o.Losing &&
		s.Guard == o.Guard && slices.Equal(s.Gateways, o.Gateways)
}

// Overlap returns the ranges of each of two sites that have addresses in common with
// one of the other.
func (s Site) Overlap(o Site) (own, others []netip.Prefix) {
	return meet(s.Ranges, o.Ranges), meet(o.Ranges, s.Ranges)
}

func meet(a, b []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, r := range a {
		if slices.ContainsFunc(b, r.Overlaps) {
			out = append(out, r)
		}
	}
	return out
}

// Apart returns the subnets of each of two sites of a family, if both have some and no
// address is in some of both.
func (s Site) Apart(o Site, v6 bool) (own, others []netip.Prefix) {
	own, others = family(s.Subnets, v6), family(o.Subnets, v6)
	if len(own) == 0 || len(others) == 0 || len(meet(own, others)) > 0 {
		return nil, nil
	}
	return own, others
}

func family(list []netip.Prefix, v6 bool) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(list), func(p netip.Prefix) bool { return p.Addr().Is6() != v6 })
}
