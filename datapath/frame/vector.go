package frame

import (
	"slices"
	"sync"
)

const (
	// Headroom is the room in front of each frame of a Vector. The kernel's header of a frame
	// that a TAP delivers lies there (struct virtio_net_hdr, without num_buffers), so that
	// one read takes both.
	Headroom = 10

	// maxFrame is the length of the longest frame: an Ethernet header, two VLAN tags, and
	// an IP packet as long as IPv4 can say. The kernel makes no longer super-frame unless it
	// was allowed to (gso_max_size).
	maxFrame = 14 + maxTags*tagLen + 65535

	// bufferSize is one more, so that a frame that was cut to the buffer can be seen.
	bufferSize = Headroom + maxFrame + 1

	arenaSize = 2 * bufferSize
	maxVector = 256 // frames
)

// arena is the memory of a Vector that holds frames.
type arena struct {
	data   [arenaSize]byte
	frames [maxVector]Frame
}

var arenas = sync.Pool{New: func() any { return new(arena) }}

// Vector holds frames that were read together, one behind the other in one piece of memory.
// It has memory only from the first Buffer to Release, so many readers that wait cost
// nothing. The zero value is ready. It has one owner, who may lend it.
type Vector struct {
	// Frames are valid until Release.
	Frames []Frame

	arena *arena
	used  int
}

// Buffer returns room for the next frame: Headroom bytes, and one byte more than the longest
// frame has. A read that fills it has cut a frame. Buffer returns nil if the vector is full;
// an empty vector never is.
func (v *Vector) Buffer() []byte {
	if v.arena == nil {
		v.arena = arenas.Get().(*arena)
		v.Frames = v.arena.frames[:0]
	}
	if len(v.Frames) == maxVector || arenaSize-v.used < bufferSize {
		return nil
	}
	return v.arena.data[v.used : v.used+bufferSize : v.used+bufferSize]
}

// Add appends a frame that was read into what Buffer returned last. Its Data must begin
// there, behind the Headroom. Its capacity ends where it does.
func (v *Vector) Add(f Frame) {
	f.Data = slices.Clip(f.Data)
	v.used += Headroom + len(f.Data)
	v.Frames = append(v.Frames, f)
}

// Release empties the vector and gives its memory back for others to use.
func (v *Vector) Release() {
	if v.arena != nil {
		arenas.Put(v.arena)
	}
	*v = Vector{}
}
