package lab

import (
	"context"
	"net/netip"
)

// System is one way to join two machines, and is used by one goroutine. It has a pair to itself.
// While other systems are measured it stays up and idle.
type System interface {
	// Prepare does what is no part of the time to set up: keys, certificates, servers, an
	// engine. It is called once.
	Prepare(ctx context.Context, p *Pair) error
	// Up starts both ends and says where their users are. It need not wait until frames pass:
	// the caller pings from A to B. The time from the call to the first answer is setup_ms.
	Up(ctx context.Context) (Ends, error)
	// Down ends what Up has started, so that Up can be called again.
	Down(ctx context.Context) error
}

// Ends is a tunnel as its users see it.
type Ends struct {
	A, B End
	MTU  int // of the users' interfaces
}

// End is one end of a tunnel.
type End struct {
	Net  *Namespace // where programs use it: the pair's machine, or a container's
	Addr netip.Addr
}

// SystemCalls is implemented by a system that counts them, for syscalls_per_mb.
type SystemCalls interface {
	// SystemCalls returns how many the tunnel's process at A and that at B have made so far to
	// move frames.
	SystemCalls(ctx context.Context) (a, b uint64, err error)
}

// Memory is implemented by a system that can say what an idle tunnel costs, for mem_per_tunnel.
type Memory interface {
	// MemoryPerTunnel returns the resident bytes of one process with many tunnels above those
	// of one with none, divided by their number, after 30 s idle. Its own pair is its place,
	// and it is up, or Down and Up are called as it likes.
	MemoryPerTunnel(ctx context.Context) (bytes float64, err error)
}

// SocketBuffer is what the UDP sockets of a tunnel in the pair's namespaces, of the sender and of
// the receiver ask the kernel for in both directions, so that none wins by a longer queue. It is
// what wireguard-go asks for. Rows that are about queues fail where it is otherwise.
const SocketBuffer = 7 << 20
