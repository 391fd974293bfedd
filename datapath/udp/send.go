package udp

import (
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	sendBatch   = 64 // messages of one system call
	sendControl = 64 // a source and a size: 40 and 24 bytes
)

// sender is the memory of one SendRuns at a time.
type sender struct {
	headers  [sendBatch]unix.Mmsghdr
	iovecs   [sendBatch]unix.Iovec
	controls [sendBatch][sendControl]byte
	name     unix.RawSockaddrInet6
	nameSize uint32 // 0: the socket is connected
	source   []byte // control message

	call  func(fd uintptr) bool // made once, so that no call allocates it
	n     int                   // messages to send; then how many were sent
	errno unix.Errno
}

func newSender(counter *atomic.Uint64) *sender {
	s := new(sender)
	s.call = func(fd uintptr) bool {
		n, errno, ready := mmsg(unix.SYS_SENDMMSG, fd, s.headers[:s.n], counter)
		if ready {
			s.n, s.errno = n, errno
		}
		return ready
	}
	return s
}

// begin sets source and destination of what is sent next.
func (s *sender) begin(family int, source Source, to netip.AddrPort) (err error) {
	s.source, s.nameSize = source.control, 0
	if to.IsValid() {
		s.nameSize, err = putName(&s.name, family, to)
	}
	return err
}

// send sends runs. The kernel cuts those of datagrams smaller than uncut. When it refuses to
// cut one, send sends the datagrams of that size one by one. If that works, they were refused
// because they were to be cut, and send returns that.
func (s *sender) send(raw syscall.RawConn, runs []Run, uncut int) (sent int, proved refusal, err error) {
	defer s.forget()
	var (
		done    position
		refused refusal
	)
	for s.compose(runs, done, uncut) {
		if err := raw.Write(s.call); err != nil {
			return sent, proved, err
		}
		if s.errno != 0 {
			failed := done
			message, size, _ := failed.next(runs, uncut)
			if refused = refusalOf(s.errno, size); len(message) <= size || refused.size == 0 {
				return sent, proved, os.NewSyscallError("sendmmsg", s.errno)
			}
			uncut = min(uncut, refused.size)
			continue
		}
		if refused.size > 0 {
			proved, refused = refused, refusal{}
		}
		for range s.n {
			message, size, _ := done.next(runs, uncut)
			sent += (len(message) + size - 1) / size
		}
	}
	return sent, proved, nil
}

// compose makes messages of what comes after a position. It returns false if that is nothing.
func (s *sender) compose(runs []Run, p position, uncut int) bool {
	for s.n = 0; s.n < sendBatch; s.n++ {
		message, size, ok := p.next(runs, uncut)
		if !ok {
			break
		}
		s.iovecs[s.n].Base = unsafe.SliceData(message) //nolint:gosec // the message lives as long as the call
		s.iovecs[s.n].SetLen(len(message))
		h := &s.headers[s.n].Hdr
		h.Iov = &s.iovecs[s.n]
		h.SetIovlen(1)
		h.Name, h.Namelen = nil, s.nameSize
		if s.nameSize > 0 {
			h.Name = namePointer(&s.name)
		}
		used := copy(s.controls[s.n][:], s.source)
		if len(message) > size {
			used += putSegment(s.controls[s.n][used:], size)
		}
		h.Control = nil
		if used > 0 {
			h.Control = &s.controls[s.n][0]
		}
		h.SetControllen(used)
	}
	return s.n > 0
}

// forget lets the memory of callers go.
func (s *sender) forget() {
	clear(s.iovecs[:])
	s.source = nil
}
