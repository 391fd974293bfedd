package network

import (
	"strconv"
	"testing"
)

// TestNumbersAreUsedAgain: containers that come and go have few numbers, one that is in use is
// nobody else's, and one that was given back is not the next.
func TestNumbersAreUsedAgain(t *testing.T) {
	n := bare(t)
	for living := range 30 {
		last := uint16(0)
		for range 100 {
			tag := n.freeTagLocked()
			if tag == 0 || int(tag) > max(fewTags, 2*living) || tag == last {
				t.Fatalf("beside %d containers: %d after %d", living, tag, last)
			}
			for id, e := range n.endpoints {
				if e.tag == tag {
					t.Fatalf("%d is that of container %s", tag, id)
				}
			}
			last = tag
		}
		n.endpoints[strconv.Itoa(living)] = &endpoint{tag: n.freeTagLocked()}
	}
}
