package turn

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"github.com/pion/stun/v4"

	"evio/datapath/udp"
)

const (
	// maxMessage is the largest message that is received.
	maxMessage = udp.MaxDatagram
	// maxRelayed is the largest datagram that is relayed: in an indication, which has 36 bytes
	// more, or 48 for an IPv6 peer.
	maxRelayed = maxMessage - 48

	stunHeader    = 20
	channelHeader = 4
	// Channel numbers of RFC 8656 section 12.
	minChannel = 0x4000
	maxChannel = 0x4fff

	familyIPv6   = 2
	transportUDP = 17
)

var (
	errMessage = errors.New("a message that is not TURN")
	errAnswer  = errors.New("no relayed address or no lifetime in it")
)

// attribute is one with a fixed value.
func attribute(t stun.AttrType, value ...byte) stun.Setter {
	return stun.RawAttribute{Type: t, Length: uint16(len(value)), Value: value}
}

func lifetime(d time.Duration) stun.Setter {
	return attribute(stun.AttrLifetime, binary.BigEndian.AppendUint32(nil, uint32(d/time.Second))...)
}

func channelNumber(n uint16) stun.Setter {
	return attribute(stun.AttrChannelNumber, byte(n>>8), byte(n), 0, 0)
}

// peerAddress is the attribute XOR-PEER-ADDRESS.
type peerAddress netip.AddrPort

// AddTo implements stun.Setter.
func (p peerAddress) AddTo(m *stun.Message) error {
	a := netip.AddrPort(p)
	return stun.XORMappedAddress{IP: a.Addr().AsSlice(), Port: int(a.Port())}.AddToAs(m, stun.AttrXORPeerAddress)
}

// address reads an attribute of the form of XOR-MAPPED-ADDRESS.
func address(m *stun.Message, t stun.AttrType) (netip.AddrPort, error) {
	var x stun.XORMappedAddress
	if err := x.GetFromAs(m, t); err != nil {
		return netip.AddrPort{}, err
	}
	a, ok := netip.AddrFromSlice(x.IP)
	if !ok || x.Port < 0 || x.Port > 65535 {
		return netip.AddrPort{}, errMessage
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(x.Port)), nil
}

// allocated reads the answer to an Allocate request. Of several addresses the
// first that is one counts: coturn names 0.0.0.0 before the IPv6 one.
func allocated(m *stun.Message) (relayed netip.AddrPort, life time.Duration, err error) {
	value, err := m.Get(stun.AttrLifetime)
	if err != nil || len(value) != 4 {
		return netip.AddrPort{}, 0, errAnswer
	}
	for _, a := range m.Attributes {
		if a.Type != stun.AttrXORRelayedAddress {
			continue
		}
		one := stun.Message{TransactionID: m.TransactionID, Attributes: stun.Attributes{a}}
		relayed, err := address(&one, a.Type)
		if err == nil && !relayed.Addr().IsUnspecified() && relayed.Port() != 0 {
			return relayed, time.Duration(binary.BigEndian.Uint32(value)) * time.Second, nil
		}
	}
	return netip.AddrPort{}, 0, errAnswer
}

// kind is what a message of the server is.
type kind int

const (
	foreign  kind = iota // to be dropped
	response             // to one of our requests
	channel              // ChannelData
	data                 // Data indication
)

// incoming is a message of the server. Its payload lies in the bytes that were
// read, and has their capacity.
type incoming struct {
	kind    kind
	channel uint16
	from    netip.AddrPort
	payload []byte
}

// read tells what a message is. The message m is scratch space.
func read(b []byte, m *stun.Message) incoming {
	if len(b) >= channelHeader && b[0]>>6 == 1 {
		n := int(binary.BigEndian.Uint16(b[2:]))
		if channelHeader+n > len(b) {
			return incoming{}
		}
		return incoming{kind: channel, channel: binary.BigEndian.Uint16(b), payload: b[channelHeader : channelHeader+n]}
	}
	if !stun.IsMessage(b) {
		return incoming{}
	}
	m.Raw = b
	if m.Decode() != nil {
		return incoming{}
	}
	switch m.Type.Class {
	case stun.ClassSuccessResponse, stun.ClassErrorResponse:
		return incoming{kind: response}
	case stun.ClassIndication:
		from, err := address(m, stun.AttrXORPeerAddress)
		payload, missing := m.Get(stun.AttrData)
		if err == nil && missing == nil && m.Type.Method == stun.MethodData {
			return incoming{kind: data, from: from, payload: payload}
		}
	default: // a client answers no requests
	}
	return incoming{}
}

// appendChannel appends a ChannelData message, which a stream needs padded.
func appendChannel(b []byte, number uint16, payload []byte, pad bool) []byte {
	b = binary.BigEndian.AppendUint16(b, number)
	b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
	b = append(b, payload...)
	for pad && len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// appendIndication appends a Send indication (RFC 8656 section 11).
func appendIndication(b []byte, to netip.AddrPort, payload []byte) ([]byte, error) {
	m, err := stun.Build(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication),
		peerAddress(to), stun.RawAttribute{Type: stun.AttrData, Value: payload})
	if err != nil {
		return b, err
	}
	return append(b, m.Raw...), nil
}
