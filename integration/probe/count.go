package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// countedNumber is the length of the number that a datagram of a counted stream begins with.
const countedNumber = 8

// sentCount is printed by count-send.
type sentCount struct {
	Sent    uint64 `json:"sent"`
	Refused uint64 `json:"refused"` // by the own kernel
}

// countSend sends numbered datagrams at a steady rate: a stream whose other
// end can tell exactly what is missing.
func countSend(ctx context.Context, out *printer, args []string) error {
	flags := flag.NewFlagSet("count-send", flag.ContinueOnError)
	to := flags.String("to", "", "`address:port` of a count-recv, also multicast")
	dev := flags.String("dev", "", "outgoing `interface` of multicast")
	size := flags.Int("size", 200, "`bytes` of a datagram")
	rate := flags.Int("rate", 1000, "datagrams per second")
	lasting := flags.Duration("for", 10*time.Second, "how long")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *rate < 1 || *rate > 100_000 {
		return errors.New("give a rate from 1 to 100000")
	}
	if *size < countedNumber {
		return fmt.Errorf("give a size of %d bytes or more", countedNumber)
	}
	conn, target, err := sender(ctx, ":0", *to, *dev)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nothing is buffered
	var (
		count sentCount
		data  = make([]byte, *size)
		start = time.Now()
		total = uint64(lasting.Seconds() * float64(*rate))
		tick  = time.NewTicker(5 * time.Millisecond)
	)
	defer tick.Stop()
	for next := uint64(0); next < total; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return out.print(count)
		}
		for due := min(total, uint64(time.Since(start).Seconds()*float64(*rate))); next < due; next++ {
			binary.BigEndian.PutUint64(data, next)
			if _, err := conn.WriteTo(data, target); err != nil {
				count.Refused++
				continue
			}
			count.Sent++
		}
	}
	return out.print(count)
}

// receivedCount is printed by count-recv when it ends.
type receivedCount struct {
	Received   uint64 `json:"received"` // each number once
	Duplicates uint64 `json:"duplicates"`
	Highest    uint64 `json:"highest"`
	LongestGap int64  `json:"longest_gap_ms"` // between two datagrams
	Overflow   uint64 `json:"overflow"`       // found the own socket full
}

// countReceive counts a stream of count-send, from its first datagram until none
// has come for a while.
func countReceive(ctx context.Context, out *printer, args []string) error {
	flags := flag.NewFlagSet("count-recv", flag.ContinueOnError)
	listen := flags.String("listen", ":9000", "local `address:port`")
	group := flags.String("group", "", "multicast `address` to join")
	dev := flags.String("dev", "eth0", "`interface` of the group")
	idle := flags.Duration("idle", 15*time.Second, "end when nothing has come for so long")
	if err := flags.Parse(args); err != nil {
		return err
	}
	conn, err := listener(ctx, *listen, *group, *dev)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nothing is buffered
	if err := enlarge(conn, 16<<20); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) })()
	if err := out.print(listening{conn.LocalAddr().String()}); err != nil {
		return err
	}
	var (
		count receivedCount
		seen  = map[uint64]struct{}{}
		last  time.Time
		data  [2048]byte
	)
	for ctx.Err() == nil {
		if !last.IsZero() {
			if err := conn.SetReadDeadline(time.Now().Add(*idle)); err != nil {
				return err
			}
		}
		n, err := conn.Read(data[:])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			return err
		}
		if n < countedNumber {
			continue
		}
		now := time.Now()
		if !last.IsZero() {
			count.LongestGap = max(count.LongestGap, now.Sub(last).Milliseconds())
		}
		last = now
		number := binary.BigEndian.Uint64(data[:])
		if _, again := seen[number]; again {
			count.Duplicates++
			continue
		}
		seen[number] = struct{}{}
		count.Received++
		count.Highest = max(count.Highest, number)
	}
	if count.Overflow, err = overflow(conn); err != nil {
		return err
	}
	return out.print(count)
}

// enlarge gives a socket room for what comes while this process waits for a processor:
// that much where it may, otherwise what the kernel grants anybody.
func enlarge(conn *net.UDPConn, size int) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var option error
	err = raw.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size) != nil {
			option = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, size)
		}
	})
	return errors.Join(err, option)
}

// overflow returns how many datagrams found a socket's buffer full, as the kernel's table of
// sockets has it.
func overflow(conn *net.UDPConn) (sum uint64, err error) {
	port := fmt.Sprintf(":%04X", conn.LocalAddr().(*net.UDPAddr).Port)
	for _, table := range []string{"/proc/self/net/udp", "/proc/self/net/udp6"} {
		b, err := os.ReadFile(table) //nolint:gosec // the kernel's
		if errors.Is(err, os.ErrNotExist) {
			continue // no IPv6 here
		}
		if err != nil {
			return 0, err
		}
		for line := range strings.Lines(string(b)) {
			fields := strings.Fields(line)
			if len(fields) < 3 || !strings.HasSuffix(fields[1], port) {
				continue
			}
			n, err := strconv.ParseUint(fields[len(fields)-1], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", table, err)
			}
			sum += n
		}
	}
	return sum, nil
}
