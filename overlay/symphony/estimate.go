package symphony

// maxEstimate bounds what IDs that lie unnaturally close together can make a node
// believe, and so the number of links that they can make it draw (32).
const maxEstimate = 1 << 32

// reestimate takes the number of nodes on the ring from the lengths of the segments
// around this node: s segments that together cover a part x of the circle make s/x
// nodes. Where the segments known cover the whole circle that is the exact number.
// It is never less than the nodes that are seen.
func (r *Ring) reestimate() {
	m := len(r.members)
	seen := float64(m + 1)
	if m <= r.cfg.Segments {
		r.estimate = seen
		return
	}
	after := r.cfg.Segments / 2
	before := r.cfg.Segments - after
	first, last := r.member(m-before), r.member(after-1)
	x := clockwise(first, last).fraction()
	r.estimate = max(seen, min(float64(r.cfg.Segments)/max(x, 1.0/maxEstimate), maxEstimate))
}
