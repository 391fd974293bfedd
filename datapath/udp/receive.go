package udp

import (
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// MaxDatagram is the largest datagram that is received. Records have at most 1,452
	// bytes, handshake datagrams and STUN messages stay below.
	MaxDatagram = 2048

	receiveBatch  = 16       // runs of one system call
	receiveBuffer = 64 << 10 // for one run: the kernel merges no more
	controlSpace  = 128
)

// Datagram is a datagram with its path.
//
// The datagrams of a vector are in the order of their arrival. Those that the kernel has merged
// lie one behind the other in one buffer; any other has a buffer to itself. The capacity of
// Data reaches to the end of its buffer.
//
// A receiver takes the datagrams in this order. It may change the bytes of the current one and
// of all before it, but never those of a datagram to come. The rest of a buffer, up to the
// capacity, is free once the last datagram in it is taken. So a receiver may keep a part of
// each datagram and append these parts behind the first of them, in its buffer. While the
// current datagram is in the same buffer, this is safe because the parts are no longer than
// the datagrams taken; later it is limited by the capacity.
type Datagram struct {
	Local  netip.Addr     // the address it was sent to
	Remote netip.AddrPort // where it came from, IPv4 never in its mapped form
	Data   []byte
}

// receiver is the memory that one socket of the kernel receives into. A page of a buffer takes
// memory only once something has come that was so long.
type receiver struct {
	headers  [receiveBatch]unix.Mmsghdr
	iovecs   [receiveBatch]unix.Iovec
	names    [receiveBatch]unix.RawSockaddrInet6
	controls [receiveBatch][controlSpace]byte
	buffers  [receiveBatch][]byte
	vector   []Datagram
	told     uint32 // what the kernel has last told of its count, which wraps around
	overflow uint64 // the same without that

	call  func(fd uintptr) bool // made once, so that no call allocates it
	n     int                   // what the last call returned
	errno unix.Errno
}

func newReceiver(counter *atomic.Uint64) *receiver {
	r := new(receiver)
	arena := make([]byte, receiveBatch*receiveBuffer)
	for i := range r.headers {
		r.buffers[i] = arena[i*receiveBuffer : (i+1)*receiveBuffer : (i+1)*receiveBuffer]
		r.iovecs[i].Base = &r.buffers[i][0]
		r.iovecs[i].SetLen(receiveBuffer)
	}
	r.n = receiveBatch
	r.call = func(fd uintptr) (ready bool) {
		r.n, r.errno, ready = mmsg(unix.SYS_RECVMMSG, fd, r.headers[:], counter)
		return ready
	}
	return r
}

// receive waits for datagrams. It returns them, and how many were too large.
func (r *receiver) receive(raw syscall.RawConn) (vector []Datagram, truncated uint64, err error) {
	for i := range r.n { // what the last call has written
		h := &r.headers[i].Hdr
		h.Name, h.Namelen = namePointer(&r.names[i]), unix.SizeofSockaddrInet6
		h.Iov = &r.iovecs[i]
		h.SetIovlen(1)
		h.Control = &r.controls[i][0]
		h.SetControllen(controlSpace)
	}
	r.n = 0
	if err := raw.Read(r.call); err != nil {
		return nil, 0, err
	}
	if r.errno != 0 {
		return nil, 0, os.NewSyscallError("recvmmsg", r.errno)
	}
	r.vector = r.vector[:0]
	for i := range r.n {
		h := &r.headers[i]
		if h.Hdr.Flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
			truncated++ // its end, or the size of its datagrams, is not known
			continue
		}
		local, overflow, size := readControl(r.controls[i][:h.Hdr.Controllen])
		r.noteOverflow(overflow)
		var large uint64
		r.vector, large = split(r.vector, r.buffers[i], int(h.Len), size, Datagram{Local: local, Remote: readName(&r.names[i])})
		truncated += large
	}
	return r.vector, truncated, nil
}

// noteOverflow takes the kernel's count of what found the buffer full, 0 where it has told none.
func (r *receiver) noteOverflow(count uint32) {
	if count == 0 {
		return
	}
	r.overflow += uint64(count - r.told)
	r.told = count
}

// split appends the datagrams of a run to a vector. The run is the first n bytes of a buffer;
// each datagram has the same size, but the last may be shorter. Size 0 is one datagram. split
// returns how many were too large and left out.
func split(vector []Datagram, buffer []byte, n, size int, d Datagram) ([]Datagram, uint64) {
	if size <= 0 || size > n {
		size = n
	}
	var large uint64
	for start := 0; ; start += size {
		end := min(start+size, n)
		if end-start > MaxDatagram {
			large++
		} else {
			d.Data = buffer[start:end]
			vector = append(vector, d)
		}
		if end == n {
			return vector, large
		}
	}
}
