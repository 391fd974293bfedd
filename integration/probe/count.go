package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"net"
	"os"
	"time"
)

// counted is the datagram of a counted stream: a number, padded.
const (
	countedNumber = 8
	countedSize   = 200
)

// sentCount is printed by count-send.
type sentCount struct {
	Sent    uint64 `json:"sent"`
	Refused uint64 `json:"refused"` // by the own kernel
}

// countSend sends numbered datagrams at a steady rate: a stream of which the other
// end can tell exactly what is missing.
func countSend(ctx context.Context, out *printer, args []string) error {
	flags := flag.NewFlagSet("count-send", flag.ContinueOnError)
	to := flags.String("to", "", "`address:port` of a count-recv")
	rate := flags.Int("rate", 1000, "datagrams per second")
	lasting := flags.Duration("for", 10*time.Second, "how long")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *rate < 1 || *rate > 100_000 {
		return errors.New("give a rate from 1 to 100000")
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", *to)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nothing is buffered
	var (
		count sentCount
		data  [countedSize]byte
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
			binary.BigEndian.PutUint64(data[:], next)
			if _, err := conn.Write(data[:]); err != nil {
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
}

// countReceive counts a stream of count-send, from its first datagram until none
// has come for a while.
func countReceive(ctx context.Context, out *printer, args []string) error {
	flags := flag.NewFlagSet("count-recv", flag.ContinueOnError)
	listen := flags.String("listen", ":9000", "local `address:port`")
	idle := flags.Duration("idle", 15*time.Second, "end when nothing has come for so long")
	if err := flags.Parse(args); err != nil {
		return err
	}
	conn, err := socket(ctx, "udp", *listen)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nothing is buffered
	if err := conn.SetReadBuffer(4 << 20); err != nil {
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
	return out.print(count)
}
