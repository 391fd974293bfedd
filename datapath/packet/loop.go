package packet

// typeExperiment is the EtherType that IEEE Std 802 leaves to experiments of one's own.
const typeExperiment = 0x88b5

// LoopGroup is where probes for loops are sent: a group address of nobody's, which every
// bridge floods, and to which nothing else is sent.
var LoopGroup = MAC{0x03, 'e', 'v', 'i', 'o', 0}

// LoopNumber tells a probe for loops from all others.
type LoopNumber [16]byte

// loopMark is the beginning of what a probe says, so that the number is not taken out of
// what a container sent there.
const loopMark = "evio loop 1 "

// minFrame is the length of the shortest frame on a wire, without the check sequence.
const minFrame = 60

// LoopProbe appends a probe to dst.
func LoopProbe(dst []byte, from MAC, number LoopNumber) []byte {
	dst = appendHeader(dst, LoopGroup, from, typeExperiment)
	dst = append(dst, loopMark...)
	dst = append(dst, number[:]...)
	return append(dst, make([]byte, minFrame-HeaderLen-len(loopMark)-len(number))...)
}

// ParseLoopProbe returns the number of a probe. A bridge on the way may have lengthened it.
func ParseLoopProbe(frame []byte) (n LoopNumber, ok bool) {
	if !Valid(frame) || Destination(frame) != LoopGroup {
		return n, false
	}
	b, ok := payload(frame, typeExperiment)
	if !ok || len(b) < len(loopMark)+len(n) || string(b[:len(loopMark)]) != loopMark {
		return n, false
	}
	return LoopNumber(b[len(loopMark):]), true
}
