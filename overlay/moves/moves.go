// Package moves is what nodes say to each other when a container announces what another
// node's container has claimed: the node of the container that announces it asks the holder
// to give way. The holder answers that it keeps it, or withdraws its claim without an answer.
//
// Everything here is a pure function.
package moves

import (
	"errors"
	"fmt"
	"net/netip"

	"evio/overlay/directory"
)

// Kind is what a message says.
type Kind uint8

// Kinds. Messages of other kinds are skipped.
const (
	GiveWay Kind = 1 // give the key up if its container does not answer for it
	Kept    Kind = 2 // its container does
)

// Message is about one key.
type Message struct {
	Kind Kind
	Key  directory.Key
	// Party is the container that announces the key, or the one that keeps it.
	Party Party
}

// Party describes a container to other nodes.
type Party struct {
	MAC  directory.MAC
	Addr netip.Addr // that Docker has given to it; not valid: none
}

// ErrMalformed is in the errors of Parse.
var ErrMalformed = errors.New("malformed question for a claim")

// fixed is the length of a MAC address and of the length of the address behind it.
const fixed = 6 + 1

// Append appends the message.
func (m Message) Append(b []byte) []byte {
	b = append(b, byte(m.Kind))
	b = appendPair(b, m.Key.MAC, m.Key.Addr)
	return appendPair(b, m.Party.MAC, m.Party.Addr)
}

func appendPair(b []byte, mac directory.MAC, addr netip.Addr) []byte {
	b = append(b, mac[:]...)
	raw := addr.AsSlice()
	b = append(b, byte(len(raw)))
	return append(b, raw...)
}

// Parse reads a message. What follows it is skipped.
func Parse(b []byte) (Message, error) {
	if len(b) == 0 {
		return Message{}, fmt.Errorf("%w: empty", ErrMalformed)
	}
	m := Message{Kind: Kind(b[0])}
	var err error
	if m.Key.MAC, m.Key.Addr, b, err = parsePair(b[1:]); err != nil {
		return Message{}, err
	}
	if m.Key.Addr.IsValid() == (m.Key.MAC != directory.MAC{}) {
		return Message{}, fmt.Errorf("%w: a key is an address or a MAC address", ErrMalformed)
	}
	m.Party.MAC, m.Party.Addr, _, err = parsePair(b)
	return m, err
}

func parsePair(b []byte) (mac directory.MAC, addr netip.Addr, rest []byte, err error) {
	if len(b) < fixed {
		return mac, addr, nil, fmt.Errorf("%w: cut short", ErrMalformed)
	}
	mac, n := directory.MAC(b), int(b[fixed-1])
	b = b[fixed:]
	if n != 0 && n != 4 && n != 16 || len(b) < n {
		return mac, addr, nil, fmt.Errorf("%w: address of %d bytes", ErrMalformed, n)
	}
	addr, _ = netip.AddrFromSlice(b[:n])
	if addr.Is4In6() {
		return mac, addr, nil, fmt.Errorf("%w: IPv4 address written as IPv6", ErrMalformed)
	}
	return mac, addr, b[n:], nil
}
