package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"evio/integration/bench/lab"
)

// sent is what udp-send prints.
type sent struct {
	Sent   uint64 `json:"sent"`
	Buffer int    `json:"buffer"` // of its socket
}

// received is what udp-receive prints when it ends.
type received struct {
	Received uint64 `json:"received"`
	Buffer   int    `json:"buffer"` // of its socket
}

// udpSend sends datagrams of one size at a steady rate, as many as are due each millisecond, one
// system call each. Each begins with the number of the stream, so that a receiver can tell those
// of an earlier one.
func udpSend(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("udp-send", flag.ContinueOnError)
	to := flags.String("to", "", "`address:port`")
	size := flags.Int("size", 64, "`bytes` of a datagram")
	rate := flags.Float64("rate", 1000, "datagrams per second")
	stream := flags.Uint64("stream", 0, "number of the stream")
	lasting := flags.Duration("for", time.Second, "how long")
	if err := flags.Parse(args); err != nil {
		return err
	}
	target, err := netip.ParseAddrPort(*to)
	if err != nil {
		return err
	}
	fd, err := udpSocket()
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // nothing is buffered
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(target.Port()), Addr: target.Addr().As4()}); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	out := sent{}
	if out.Buffer, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF); err != nil {
		return err
	}
	data := make([]byte, max(*size, 8))
	binary.BigEndian.PutUint64(data, *stream)
	total := uint64(*rate * lasting.Seconds())
	for began := time.Now(); out.Sent < total && ctx.Err() == nil; time.Sleep(time.Millisecond) {
		passed := time.Since(began)
		if passed > *lasting+*lasting/10 {
			break // this machine cannot send so fast
		}
		for due := min(total, uint64(passed.Seconds()**rate)+1); out.Sent < due; {
			if _, err := unix.Write(fd, data); err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.ECONNREFUSED) {
				return fmt.Errorf("send: %w", err)
			}
			out.Sent++
		}
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// udpReceive counts the datagrams of a stream until ctx ends, with SIGTERM.
func udpReceive(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("udp-receive", flag.ContinueOnError)
	port := flags.Int("port", 0, "to listen at")
	stream := flags.Uint64("stream", 0, "number of the stream")
	if err := flags.Parse(args); err != nil {
		return err
	}
	fd, err := udpSocket()
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // only read from
	out := received{}
	if out.Buffer, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF); err != nil {
		return err
	}
	wake := unix.NsecToTimeval((50 * time.Millisecond).Nanoseconds())
	if err := errors.Join(
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wake),
		unix.Bind(fd, &unix.SockaddrInet4{Port: *port})); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if _, err := fmt.Fprintln(os.Stdout, "ready"); err != nil {
		return err
	}
	data := make([]byte, 2048)
	for ctx.Err() == nil {
		n, err := unix.Read(fd, data)
		switch {
		case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("receive: %w", err)
		case n >= 8 && binary.BigEndian.Uint64(data) == *stream:
			out.Received++
		}
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// udpSocket opens a blocking socket with buffers of lab.SocketBuffer.
func udpSocket() (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, lab.SocketBuffer),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, lab.SocketBuffer))
	if err != nil {
		return 0, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}
