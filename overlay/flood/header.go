package flood

import (
	"encoding/binary"
	"errors"
	"fmt"

	"evio/overlay/nodeid"
)

// Header precedes a flooded frame.
type Header struct {
	Origin   nodeid.ID // the node that the frame comes from
	Start    uint64    // drawn when the origin's process started
	Seq      uint64    // number of the frame, counted by the origin
	ArcEnd   nodeid.ID // the receiver answers for the nodes from itself up to here
	HopLimit uint8     // how often the frame may still be handed on
}

// HeaderLen is the length of an encoded header:
//
//	0  version (1)   1  hop limit   2  origin   18 start   26 sequence   34 arc end
//
// with numbers big-endian.
const HeaderLen = 2 + nodeid.Size + 8 + 8 + nodeid.Size

const headerVersion = 1

// ErrHeader is the error of a header that cannot be decoded.
var ErrHeader = errors.New("malformed flood header")

// AppendHeader appends the encoded header to dst.
func AppendHeader(dst []byte, h Header) []byte {
	dst = append(dst, headerVersion, h.HopLimit)
	dst = append(dst, h.Origin[:]...)
	dst = binary.BigEndian.AppendUint64(dst, h.Start)
	dst = binary.BigEndian.AppendUint64(dst, h.Seq)
	return append(dst, h.ArcEnd[:]...)
}

// ParseHeader decodes the header at the beginning of b and returns what follows it,
// which is part of b.
func ParseHeader(b []byte) (Header, []byte, error) {
	if len(b) < HeaderLen {
		return Header{}, nil, fmt.Errorf("%w: %d bytes, want %d", ErrHeader, len(b), HeaderLen)
	}
	if b[0] != headerVersion {
		return Header{}, nil, fmt.Errorf("%w: version %d, want %d", ErrHeader, b[0], headerVersion)
	}
	return Header{
		HopLimit: b[1],
		Origin:   nodeid.ID(b[2:18]),
		Start:    binary.BigEndian.Uint64(b[18:]),
		Seq:      binary.BigEndian.Uint64(b[26:]),
		ArcEnd:   nodeid.ID(b[34:HeaderLen]),
	}, b[HeaderLen:], nil
}
