package symphony

import (
	"encoding/binary"
	"math"
	"math/bits"

	"evio/overlay/nodeid"
)

// distance is a way on the circle of 2^128 points.
type distance struct{ hi, lo uint64 }

// clockwise returns the way from a up to b; zero when they are the same point.
func clockwise(a, b nodeid.ID) distance {
	lo, borrow := bits.Sub64(binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(a[8:]), 0)
	hi, _ := bits.Sub64(binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(a[:8]), borrow)
	return distance{hi, lo}
}

// between returns the shorter way between a and b, in either direction.
func between(a, b nodeid.ID) distance {
	d, e := clockwise(a, b), clockwise(b, a)
	if e.less(d) {
		return e
	}
	return d
}

func (d distance) less(e distance) bool { return d.hi < e.hi || d.hi == e.hi && d.lo < e.lo }

// fraction returns the way as a part of the circle, 0 ≤ f ≤ 1.
func (d distance) fraction() float64 {
	return math.Ldexp(float64(d.hi), -64) + math.Ldexp(float64(d.lo), -128)
}

// at returns the point a part x of the circle clockwise of a, 0 ≤ x < 1.
func at(a nodeid.ID, x float64) nodeid.ID {
	whole, rest := math.Modf(math.Ldexp(x, 64))
	lo, carry := bits.Add64(binary.BigEndian.Uint64(a[8:]), uint64(math.Ldexp(rest, 64)), 0)
	hi, _ := bits.Add64(binary.BigEndian.Uint64(a[:8]), uint64(whole), carry)
	var p nodeid.ID
	binary.BigEndian.PutUint64(p[:8], hi)
	binary.BigEndian.PutUint64(p[8:], lo)
	return p
}
