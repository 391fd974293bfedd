package udp

import (
	"iter"
	"math"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxSegments is how many datagrams the kernel cuts a message into (UDP_MAX_SEGMENTS
	// of linux/udp.h; newer kernels allow 128).
	maxSegments = 64
	// maxPayload is the most that a message of UDP over IPv4 has.
	maxPayload = 65507

	// refusedFor is how long a route is left alone on which the kernel did not cut a run.
	// After that it may be another route.
	refusedFor = time.Minute
	// maxRefusals bounds the routes that are remembered. Beyond it all are forgotten.
	maxRefusals = 256
)

// Run is some datagrams to one address, one behind the other.
type Run struct {
	Bytes []byte
	Size  int // of each datagram but the last, which may be shorter; 0: Bytes is one datagram, or none
}

// size returns the size of the run's datagrams.
func (r Run) size() int {
	if r.Size <= 0 || r.Size > len(r.Bytes) {
		return len(r.Bytes)
	}
	return r.Size
}

// Datagrams goes through the datagrams of the run.
func (r Run) Datagrams() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		size := r.size()
		for rest := r.Bytes; len(rest) > 0; {
			n := min(size, len(rest))
			if !yield(rest[:n]) {
				return
			}
			rest = rest[n:]
		}
	}
}

// position is how much of some runs was sent. Empty runs are skipped.
type position struct {
	run, offset int
}

// next returns the next message: one datagram if its size is at least uncut, and otherwise as
// many as the kernel cuts at once.
func (p *position) next(runs []Run, uncut int) (message []byte, size int, ok bool) {
	for p.run < len(runs) && p.offset == len(runs[p.run].Bytes) {
		p.run, p.offset = p.run+1, 0
	}
	if p.run == len(runs) {
		return nil, 0, false
	}
	r := runs[p.run]
	size = r.size()
	most := size
	if size < uncut {
		most = size * max(1, min(maxSegments, maxPayload/size))
	}
	message = r.Bytes[p.offset:min(p.offset+most, len(r.Bytes))]
	p.offset += len(message)
	return message, size, true
}

// route is a pair of addresses, which decides by which device and with which MTU datagrams go.
type route struct {
	from, to netip.Addr
}

// refusal says that the kernel does not cut runs of datagrams of a size, and of larger ones.
// Size 0 is no refusal.
type refusal struct {
	size  int
	until time.Time
}

// refusalOf returns what an error of sendmmsg says of a run that the kernel should cut. An
// MTU that is too small is about the size (EMSGSIZE, EINVAL before Linux 6.9), a device
// without checksums or with IPsec is not (EIO).
func refusalOf(errno unix.Errno, size int) refusal {
	switch errno {
	case unix.EMSGSIZE, unix.EINVAL:
		return refusal{size: size}
	case unix.EIO, unix.EOPNOTSUPP:
		return refusal{size: 1}
	default:
		return refusal{}
	}
}

// refusals are routes on which the kernel does not cut runs. The zero value is empty.
type refusals struct {
	mu     sync.Mutex
	routes map[route]refusal
}

// smallest returns the smallest size that is refused on a route.
func (r *refusals) smallest(by route) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok := r.routes[by]
	if !ok || time.Now().After(known.until) {
		return math.MaxInt
	}
	return known.size
}

// note remembers a refusal. A smaller size that was refused before counts as well.
func (r *refusals) note(by route, n refusal) {
	now := time.Now()
	n.until = now.Add(refusedFor)
	r.mu.Lock()
	defer r.mu.Unlock()
	known, again := r.routes[by]
	switch {
	case again && now.Before(known.until):
		n.size = min(n.size, known.size)
	case r.routes == nil, !again && len(r.routes) >= maxRefusals:
		r.routes = make(map[route]refusal)
	}
	r.routes[by] = n
}

// len returns how many routes there are at present.
func (r *refusals) len() (n int) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, known := range r.routes {
		if now.Before(known.until) {
			n++
		}
	}
	return n
}
