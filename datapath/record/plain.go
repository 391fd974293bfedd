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

	flagSlice = 1 << 0
)

// ErrPlain is returned for a plaintext that is no frame and no slice.
var ErrPlain = errors.New("record holds neither a frame nor a slice")

// Plain is the plaintext of a record: a frame, or a slice of one.
type Plain struct {
	Kind   uint8
	Slice  bool
	ID     uint32 // of the frame a slice belongs to
	Offset int
	Total  int    // length of that frame
	Body   []byte // lies in the bytes that were parsed
}

// Parse reads a plaintext. A flag it does not know makes it refuse the record,
// since flags change what the body is.
func Parse(plain []byte) (Plain, error) {
	if len(plain) < wholeHeader {
		return Plain{}, ErrPlain
	}
	p := Plain{Kind: plain[0]}
	switch plain[1] {
	case 0:
		p.Body = plain[wholeHeader:]
		p.Total = len(p.Body)
	case flagSlice:
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

// AppendWhole appends the plaintext of a frame of at most MaxWhole bytes.
func AppendWhole(dst []byte, kind uint8, frame []byte) []byte {
	dst = append(dst, kind, 0)
	return append(dst, frame...)
}

// AppendSlice appends the plaintext of the part of a frame that starts at
// offset, for a record of at most limit bytes, and returns the offset of the next part;
// the last one returns the length of the frame. Parts are of nearly equal length.
func AppendSlice(dst []byte, kind uint8, id uint32, frame []byte, offset, limit int) (plain []byte, next int) {
	next = min(offset+partOf(len(frame), limit), len(frame))
	dst = append(dst, kind, flagSlice)
	dst = binary.BigEndian.AppendUint32(dst, id)
	dst = binary.BigEndian.AppendUint16(dst, uint16(offset))
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(frame)))
	return append(dst, frame[offset:next]...), next
}
