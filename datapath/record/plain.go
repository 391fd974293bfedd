package record

import (
	"encoding/binary"
	"errors"
)

const (
	// MaxPlain is the largest plaintext of a record.
	MaxPlain = MaxSize - Overhead
	// MaxWhole is the largest frame that travels in one record.
	MaxWhole = MaxPlain - wholeHeader
	// MaxFrame is the largest frame that is cut and rejoined: an Ethernet frame
	// with a VLAN tag at an MTU of 9,216 and the header of a flood.
	MaxFrame = 9216 + 18 + 238

	maxPart     = MaxPlain - sliceHeader // of a record of MaxSize bytes
	wholeHeader = 2
	sliceHeader = wholeHeader + 8

	formWhole   = 0
	formSlice   = 1
	formPartial = 2
)

// ErrPlain is returned for a plaintext that is no frame and no slice.
var ErrPlain = errors.New("record holds neither a frame nor a slice")

// Plain is the plaintext of a record: a frame, or a slice of one.
type Plain struct {
	Kind    uint8
	Slice   bool
	Partial bool   // a frame whose TCP or UDP checksum is unfinished, as in frame.Frame
	ID      uint32 // of the frame a slice belongs to
	Offset  int
	Total   int    // length of that frame
	Body    []byte // lies in the bytes that were parsed
}

// Parse reads a plaintext. It refuses a form that it does not know, since the form says what
// the body is. Which kinds may be partial is left to the caller.
func Parse(plain []byte) (Plain, error) {
	if len(plain) < wholeHeader {
		return Plain{}, ErrPlain
	}
	p := Plain{Kind: plain[0]}
	switch form := plain[1]; form {
	case formWhole, formPartial:
		p.Partial = form == formPartial
		p.Body = plain[wholeHeader:]
		p.Total = len(p.Body)
	case formSlice:
		if len(plain) < sliceHeader {
			return Plain{}, ErrPlain
		}
		p.Slice = true
		p.ID = binary.BigEndian.Uint32(plain[2:])
		p.Offset = int(binary.BigEndian.Uint16(plain[6:]))
		p.Total = int(binary.BigEndian.Uint16(plain[8:]))
		p.Body = plain[sliceHeader:]
	default:
		return Plain{}, ErrPlain
	}
	return p, nil
}

// Fits reports whether a frame travels whole in a record of at most limit bytes.
func Fits(frame, limit int) bool { return frame <= LargestFrame(limit) }

// LargestFrame returns the length of the largest frame that travels whole in a record of
// limit bytes.
func LargestFrame(limit int) int { return limit - Overhead - wholeHeader }

// Largest returns the size of the largest record that a frame becomes where records may
// have MaxSize bytes.
func Largest(frame int) int {
	if Fits(frame, MaxSize) {
		return Overhead + wholeHeader + frame
	}
	return Overhead + sliceHeader + partOf(frame, MaxSize)
}

// partOf returns the length of the parts into which a frame is cut, except for the last.
func partOf(frame, limit int) int {
	most := maxPart - (MaxSize - limit)
	parts := (frame + most - 1) / most
	return (frame + parts - 1) / parts
}

// AppendWhole appends the plaintext of a frame that fits one record. The frame may also be
// appended afterwards.
func AppendWhole(dst []byte, kind uint8, frame []byte) []byte {
	dst = append(dst, kind, formWhole)
	return append(dst, frame...)
}

// AppendPartial is AppendWhole for a frame whose TCP or UDP checksum is unfinished: it is the
// sum of the pseudo header.
func AppendPartial(dst []byte, kind uint8, frame []byte) []byte {
	dst = append(dst, kind, formPartial)
	return append(dst, frame...)
}

// AppendSlice appends the plaintext of the part of a frame that starts at
// offset, for a record of at most limit bytes, and returns the offset of the next part;
// the last one returns the length of the frame. Parts are of nearly equal length.
func AppendSlice(dst []byte, kind uint8, id uint32, frame []byte, offset, limit int) (plain []byte, next int) {
	next = min(offset+partOf(len(frame), limit), len(frame))
	dst = append(dst, kind, formSlice)
	dst = binary.BigEndian.AppendUint32(dst, id)
	dst = binary.BigEndian.AppendUint16(dst, uint16(offset))
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(frame)))
	return append(dst, frame[offset:next]...), next
}
