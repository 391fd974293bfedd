package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// appSent is printed by app-udp-send.
type appSent struct {
	Sent    int `json:"sent"`    // calls of send
	Refused int `json:"refused"` // by the own kernel
}

// appUDPSend sends datagrams as programs do: alone, in bursts, or many in one call that the
// kernel or the card cuts into segments (UDP_SEGMENT). Each byte of a call is that of its place,
// so that a receiver notices what was merged or cut wrongly.
func appUDPSend(ctx context.Context, out *printer, args []string) error {
	flags := flag.NewFlagSet("app-udp-send", flag.ContinueOnError)
	to := flags.String("to", "", "`address:port` of an app-udp-recv")
	size := flags.Int("size", 1000, "`bytes` of a call")
	segment := flags.Int("segment", 0, "`bytes` of a segment; 0: the call is one datagram")
	count := flags.Int("count", 1, "how many calls")
	every := flags.Duration("every", 0, "time between two calls; 0: none")
	if err := flags.Parse(args); err != nil {
		return err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", *to)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nothing is buffered
	raw, err := conn.(*net.UDPConn).SyscallConn()
	if err != nil {
		return err
	}
	var option error
	err = raw.Control(func(fd uintptr) {
		option = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 8<<20)
		if *segment > 0 {
			option = errors.Join(option, unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT, *segment))
		}
	})
	if err := errors.Join(err, option); err != nil {
		return fmt.Errorf("options of the socket: %w", err)
	}
	data := appPattern(*size, *segment)
	tick := time.NewTicker(max(*every, 1))
	defer tick.Stop()
	var sent appSent
	for i := range *count {
		if i > 0 && *every > 0 {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return out.print(sent)
			}
		}
		if _, err := conn.Write(data); err != nil {
			sent.Refused++
			continue
		}
		sent.Sent++
	}
	return out.print(sent)
}

// appPattern fills segments so that each says how long it is: its first two bytes are its length,
// where there is room.
func appPattern(size, segment int) []byte {
	if segment == 0 {
		segment = size
	}
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i % segment)
	}
	for at := 0; at+2 <= size; at += segment {
		binary.BigEndian.PutUint16(data[at:], uint16(min(segment, size-at)))
	}
	return data
}

// appWhole reports whether a datagram is one segment of appPattern.
func appWhole(data []byte) bool {
	if len(data) < 2 {
		return len(data) == 1 && data[0] == 0
	}
	if int(binary.BigEndian.Uint16(data)) != len(data) {
		return false
	}
	for i := 2; i < len(data); i++ {
		if data[i] != byte(i) {
			return false
		}
	}
	return true
}

// appReceived is printed by app-udp-recv when it ends.
type appReceived struct {
	Sizes   map[int]int `json:"sizes"`   // datagrams by their size
	Damaged int         `json:"damaged"` // of these, datagrams that nobody has sent so
}

// appUDPReceive counts datagrams by their size until none has come for a while.
func appUDPReceive(ctx context.Context, out *printer, args []string) error {
	flags := flag.NewFlagSet("app-udp-recv", flag.ContinueOnError)
	listen := flags.String("listen", ":5555", "local `address:port`")
	first := flags.Duration("first", 5*time.Second, "end when nothing has come at all for so long")
	idle := flags.Duration("idle", time.Second, "end when nothing more has come for so long")
	if err := flags.Parse(args); err != nil {
		return err
	}
	conn, err := socket(ctx, "udp", *listen)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nothing is buffered
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var option error
	err = raw.Control(func(fd uintptr) {
		option = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20)
	})
	if err := errors.Join(err, option, conn.SetReadDeadline(time.Now().Add(*first))); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) })()
	if err := out.print(listening{conn.LocalAddr().String()}); err != nil {
		return err
	}
	got := appReceived{Sizes: map[int]int{}}
	data := make([]byte, 1<<16)
	for {
		n, err := conn.Read(data)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return out.print(got)
		}
		if err != nil {
			return err
		}
		got.Sizes[n]++
		if !appWhole(data[:n]) {
			got.Damaged++
		}
		if ctx.Err() == nil {
			if err := conn.SetReadDeadline(time.Now().Add(*idle)); err != nil {
				return err
			}
		}
	}
}
