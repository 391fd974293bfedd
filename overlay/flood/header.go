package flood

import (
	"encoding/binary"
	"errors"
	"fmt"

	"evio/overlay/nodeid"
)

// Header precedes a flooded frame.
type Header struct {
	Origin    nodeid.ID // the node that the frame comes from
	Start     uint64    // drawn when the origin joined
	Seq       uint64    // number of the frame, counted by the origin
	Time      uint64    // when the origin sent it, Unix time in milliseconds
	ArcEnd    nodeid.ID // the receiver answers for the nodes from itself up to here
	Signature Signature // of the origin; covers all but ArcEnd, and the frame
}

// HeaderLen is the length of an encoded header:
//
//	0  version (2)   1  arc end   17  origin   33  start   41  sequence
//	49  time   57  signature
//
// with numbers big-endian.
const HeaderLen = offSignature + len(Signature{})

const (
	offArcEnd    = 1
	offOrigin    = offArcEnd + nodeid.Size
	offStart     = offOrigin + nodeid.Size
	offSeq       = offStart + 8
	offTime      = offSeq + 8
	offSignature = offTime + 8
)

const headerVersion = 2

// ErrHeader is the error of a header that cannot be decoded.
var ErrHeader = errors.New("malformed flood header")

// AppendHeader appends the encoded header to dst.
func AppendHeader(dst []byte, h Header) []byte {
	dst = append(dst, headerVersion)
	dst = append(dst, h.ArcEnd[:]...)
	dst = h.appendName(dst)
	return append(dst, h.Signature[:]...)
}

// appendName appends what names the frame, which is the same in all its copies.
func (h Header) appendName(dst []byte) []byte {
	dst = append(dst, h.Origin[:]...)
	dst = binary.BigEndian.AppendUint64(dst, h.Start)
	dst = binary.BigEndian.AppendUint64(dst, h.Seq)
	return binary.BigEndian.AppendUint64(dst, h.Time)
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
		ArcEnd:    nodeid.ID(b[offArcEnd:offOrigin]),
		Origin:    nodeid.ID(b[offOrigin:offStart]),
		Start:     binary.BigEndian.Uint64(b[offStart:]),
		Seq:       binary.BigEndian.Uint64(b[offSeq:]),
		Time:      binary.BigEndian.Uint64(b[offTime:]),
		Signature: Signature(b[offSignature:HeaderLen]),
	}, b[HeaderLen:], nil
}
