package symphony

import "evio/overlay/nodeid"

// Nearer reports whether a is nearer to the target than b, in either direction.
func Nearer(a, b, target nodeid.ID) bool { return between(a, target).less(between(b, target)) }
