package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"time"
)

// dialogueResult is printed by tcp-dialogue each second and when it ends.
type dialogueResult struct {
	Answers      uint64 `json:"answers"`
	LongestStall int64  `json:"longest_stall_ms"` // between two answers
}

// tcpDialogue keeps one TCP connection to a tcp-echo busy: a number every 10 ms,
// each checked when it comes back. It fails if the connection does, or if what
// comes back is not what was sent.
func tcpDialogue(ctx context.Context, out *printer, args []string) error {
	flags := flag.NewFlagSet("tcp-dialogue", flag.ContinueOnError)
	to := flags.String("to", "", "`address:port` of a tcp-echo")
	lasting := flags.Duration("for", 10*time.Second, "how long")
	patience := flags.Duration("patience", 30*time.Second, "fail after so long without an answer")
	if err := flags.Parse(args); err != nil {
		return err
	}
	conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", *to)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // the dialogue is over
	sending, stop := context.WithTimeout(ctx, *lasting)
	defer stop()
	sent := make(chan error, 1)
	go func() { sent <- speak(sending, conn) }()
	result, err := listen(conn, *patience, out)
	stop()
	conn.Close() //nolint:errcheck,gosec // ends speak, if it still writes
	if err := errors.Join(err, <-sent); err != nil {
		return fmt.Errorf("after %d answers: %w", result.Answers, err)
	}
	return out.print(result)
}

// speak sends numbers until the context ends, then closes its direction.
func speak(ctx context.Context, conn net.Conn) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var number [8]byte
	for n := uint64(0); ; n++ {
		select {
		case <-ctx.Done():
			return conn.(*net.TCPConn).CloseWrite()
		case <-tick.C:
		}
		binary.BigEndian.PutUint64(number[:], n)
		if _, err := conn.Write(number[:]); err != nil {
			return err
		}
	}
}

// listen checks what comes back until the other end closes.
func listen(conn net.Conn, patience time.Duration, out *printer) (dialogueResult, error) {
	var (
		result   dialogueResult
		number   [8]byte
		last     = time.Now()
		reported = last
	)
	for {
		if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return result, err
		}
		switch _, err := io.ReadFull(conn, number[:]); {
		case errors.Is(err, io.EOF):
			return result, nil
		case err != nil:
			return result, err
		}
		if got := binary.BigEndian.Uint64(number[:]); got != result.Answers {
			return result, fmt.Errorf("number %d came back where %d was due", got, result.Answers)
		}
		result.Answers++
		now := time.Now()
		result.LongestStall = max(result.LongestStall, now.Sub(last).Milliseconds())
		last = now
		if now.Sub(reported) < time.Second {
			continue
		}
		reported = now
		if err := out.print(result); err != nil {
			return result, err
		}
	}
}
