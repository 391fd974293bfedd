package icemux

import (
	"encoding/binary"
	"net/netip"
	"strings"
)

// STUN as far as routing needs it (RFC 8489): header, USERNAME and
// XOR-MAPPED-ADDRESS. Integrity is verified by the agent, and for an address that is
// not known by its view.
const (
	stunHeaderSize = 20
	stunCookie     = 0x2112A442

	typeBindingRequest = 0x0001
	typeBindingSuccess = 0x0101
	typeBindingError   = 0x0111

	attrUsername         = 0x0006
	attrXORMappedAddress = 0x0020

	familyIPv4 = 1
	familyIPv6 = 2
)

// transaction is the identifier that a response repeats.
type transaction [12]byte

// message is a STUN message whose frame is sound; it refers to the bytes it
// was parsed from.
type message struct {
	typ         uint16
	transaction transaction
	attributes  []byte
}

func parseMessage(b []byte) (message, bool) {
	if len(b) < stunHeaderSize || b[0]&0xc0 != 0 ||
		binary.BigEndian.Uint32(b[4:]) != stunCookie {
		return message{}, false
	}
	if n := int(binary.BigEndian.Uint16(b[2:])); n%4 != 0 || n != len(b)-stunHeaderSize {
		return message{}, false
	}
	return message{
		typ:         binary.BigEndian.Uint16(b),
		transaction: transaction(b[8:stunHeaderSize]),
		attributes:  b[stunHeaderSize:],
	}, true
}

// attribute returns the value of the first attribute of a type.
func (m message) attribute(typ uint16) ([]byte, bool) {
	b := m.attributes
	for len(b) >= 4 {
		t, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		padded := (n + 3) &^ 3
		if padded > len(b)-4 {
			return nil, false
		}
		if t == typ {
			return b[4 : 4+n], true
		}
		b = b[4+padded:]
	}
	return nil, false
}

// ufrag returns the receiver's part of USERNAME (RFC 8445 section 7.2.2).
func (m message) ufrag() (string, bool) {
	name, ok := m.attribute(attrUsername)
	if !ok {
		return "", false
	}
	ufrag, _, ok := strings.Cut(string(name), ":")
	return ufrag, ok
}

// mapped returns XOR-MAPPED-ADDRESS (RFC 8489 section 14.2).
func (m message) mapped() (netip.AddrPort, bool) {
	v, ok := m.attribute(attrXORMappedAddress)
	if !ok || len(v) < 4 {
		return netip.AddrPort{}, false
	}
	port := binary.BigEndian.Uint16(v[2:]) ^ stunCookie>>16
	var mask [16]byte
	binary.BigEndian.PutUint32(mask[:], stunCookie)
	copy(mask[4:], m.transaction[:])
	ip := append([]byte(nil), v[4:]...)
	for i := range min(len(ip), len(mask)) {
		ip[i] ^= mask[i]
	}
	switch {
	case v[1] == familyIPv4 && len(ip) == 4, v[1] == familyIPv6 && len(ip) == 16:
		addr, _ := netip.AddrFromSlice(ip)
		return netip.AddrPortFrom(addr.Unmap(), port), true
	default:
		return netip.AddrPort{}, false
	}
}

// bindingRequest makes the request of a reflexive query: a bare header.
func bindingRequest(id transaction) []byte {
	b := make([]byte, stunHeaderSize)
	binary.BigEndian.PutUint16(b, typeBindingRequest)
	binary.BigEndian.PutUint32(b[4:], stunCookie)
	copy(b[8:], id[:])
	return b
}
