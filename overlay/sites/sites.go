// Package sites is what a node tells the others about the place where it stands: what
// people call it, and from which ranges its engine hands out addresses. Two engines
// that hand out the same ones give one address to two containers sooner or later.
//
// It is pure. A description comes over a session, whose far end is known; it is shown
// and compared, and nothing else follows from it.
package sites

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

const (
	// MaxName bounds the name of a site, in bytes.
	MaxName = 63
	// MaxRanges bounds the ranges that are told.
	MaxRanges = 16
)

// Site describes a node's place.
type Site struct {
	Name   string         // as CheckName allows; empty: it has none
	Ranges []netip.Prefix // masked; none: not known
}

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

// Append encodes a description: the name behind its length, then the number of ranges,
// each as prefix length, length of the address and address. Ranges beyond MaxRanges are
// left out.
func (s Site) Append(b []byte) []byte {
	b = append(b, byte(len(s.Name)))
	b = append(b, s.Name...)
	ranges := s.Ranges[:min(len(s.Ranges), MaxRanges)]
	b = append(b, byte(len(ranges)))
	for _, r := range ranges {
		addr := r.Addr().AsSlice()
		b = append(b, byte(r.Bits()), byte(len(addr)))
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
	if len(b) == 0 || b[0] > MaxRanges {
		return Site{}, fmt.Errorf("%w: number of ranges", ErrMalformed)
	}
	count := int(b[0])
	b = b[1:]
	for range count {
		if len(b) == 0 {
			return Site{}, fmt.Errorf("%w: cut short", ErrMalformed)
		}
		bits := int(b[0])
		var raw []byte
		raw, b, ok = cut(b[1:])
		addr, valid := netip.AddrFromSlice(raw)
		r := netip.PrefixFrom(addr, bits)
		if !ok || !valid || addr.Is4In6() || bits == 0 || !r.IsValid() || r != r.Masked() {
			return Site{}, fmt.Errorf("%w: a range", ErrMalformed)
		}
		s.Ranges = append(s.Ranges, r)
	}
	return s, nil
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
func (s Site) Equal(o Site) bool { return s.Name == o.Name && slices.Equal(s.Ranges, o.Ranges) }

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
