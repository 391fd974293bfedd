package frame

import (
	"encoding/binary"
	"math/bits"

	"evio/datapath/packet"
)

// Finish completes the unfinished checksum of a frame as the kernel does (skb_checksum_help):
// over all of Data[Start:], and with 0xffff in place of 0, which would mean "none" to UDP. It
// returns false, and changes nothing, if the place of the checksum is not in Data behind the
// Ethernet header. Super-frames are not for it: each segment has a checksum of its own.
func Finish(f *Frame) bool {
	if !f.Partial {
		return true
	}
	start, at := int(f.Start), int(f.Start)+int(f.Offset)
	if f.Kind != Single || start < packet.HeaderLen || at+2 > len(f.Data) {
		return false
	}
	check := ^sum(f.Data[start:])
	if check == 0 {
		check = 0xffff
	}
	binary.BigEndian.PutUint16(f.Data[at:], check)
	f.Partial, f.Start, f.Offset = false, 0, 0
	return true
}

// sum returns the ones' complement sum of the 16-bit words of b (RFC 1071), the last one
// filled up with a zero byte. It is zero only if all of b is.
//
// The sum of words in the other byte order is the same, with its bytes exchanged, and so is
// that of longer words when it is folded.
func sum(b []byte) uint16 {
	var s, carry uint64
	for ; len(b) >= 64; b = b[64:] {
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(b), 0)
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(b[8:]), carry)
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(b[16:]), carry)
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(b[24:]), carry)
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(b[32:]), carry)
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(b[40:]), carry)
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(b[48:]), carry)
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(b[56:]), carry)
		s += carry // no second carry: s is all ones only if nothing was carried out
	}
	for ; len(b) >= 8; b = b[8:] {
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(b), 0)
		s += carry
	}
	if len(b) > 0 {
		var rest [8]byte
		copy(rest[:], b)
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(rest[:]), 0)
		s += carry
	}
	return bits.ReverseBytes16(fold(s))
}

// fold adds up the 16-bit words of s. It is zero only if s is.
func fold(s uint64) uint16 {
	s = s>>32 + s&0xffffffff
	s = s>>32 + s&0xffffffff
	s = s>>16 + s&0xffff
	return uint16(s>>16 + s&0xffff)
}
