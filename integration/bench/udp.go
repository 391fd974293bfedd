package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"evio/integration/bench/lab"
)

// ladder is fixed rates of datagrams, each rung a quarter faster than the one below.
type ladder struct {
	size   int     // bytes of a datagram's payload
	lowest float64 // datagrams per second
}

const (
	rungStep    = 1.25
	mostLoss    = 0.01 // of what should have been sent
	highestRung = 30
	rungTime    = time.Second
	udpPort     = 5301
)

func (l ladder) rate(rung int) float64 { return l.lowest * math.Pow(rungStep, float64(rung)) }

// climb returns the highest rung that passes. A rung that fails is tried twice. start is where to
// begin: near the last result, or with step 4 from the bottom.
func climb(start, step int, passes func(rung int) (bool, error)) (best int, err error) {
	twice := func(rung int) (bool, error) {
		if rung > highestRung {
			return false, nil
		}
		ok, err := passes(rung)
		if err == nil && !ok {
			ok, err = passes(rung)
		}
		return ok, err
	}
	best = -1
	for rung := start; ; {
		ok, err := twice(rung)
		switch {
		case err != nil:
			return 0, err
		case ok:
			best = rung
			rung += step
		case best < 0 && rung == 0:
			return 0, fmt.Errorf("not even the lowest rate arrives with %.0f %% loss or less", 100*mostLoss)
		case best < 0: // began too high
			return descend(rung-1, twice)
		case step == 1:
			return best, nil
		default:
			rung, step = best+1, 1
		}
	}
}

// descend returns the first rung that passes on the way down.
func descend(rung int, passes func(rung int) (bool, error)) (int, error) {
	for ; rung >= 0; rung-- {
		if ok, err := passes(rung); ok || err != nil {
			return rung, err
		}
	}
	return 0, fmt.Errorf("not even the lowest rate arrives with %.0f %% loss or less", 100*mostLoss)
}

// climb returns the highest rate, in datagrams per second, that arrives. It begins two rungs below
// the last result.
func (r *running) climb(ctx context.Context, l ladder) (float64, error) {
	if err := r.checkBuffers(ctx); err != nil {
		return 0, err
	}
	start, step := 0, 4
	if last, ok := r.rungs[l]; ok {
		start, step = max(0, last-2), 1
	}
	rung, err := climb(start, step, func(rung int) (bool, error) {
		rate := l.rate(rung)
		got, err := r.udp(ctx, l.size, rate)
		return float64(got) >= (1-mostLoss)*math.Floor(rate*rungTime.Seconds()), err
	})
	if err != nil {
		return 0, err
	}
	r.rungs[l] = rung
	return l.rate(rung), nil
}

// udp sends datagrams from A to B and returns how many came.
func (r *running) udp(ctx context.Context, size int, rate float64) (uint64, error) {
	r.streams++
	stream := strconv.FormatUint(r.streams, 10)
	program := filepath.Join(r.pair.Bin, "bench")
	receiver := r.ends.B.Net.Command(ctx, program, "udp-receive", "-port", strconv.Itoa(udpPort), "-stream", stream)
	out, err := receiver.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := receiver.Start(); err != nil {
		return 0, err
	}
	defer receiver.Wait() //nolint:errcheck // it is told to end below, or killed with ctx
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); err != nil || line != "ready\n" {
		return 0, fmt.Errorf("udp-receive does not start: %q: %w", line, err)
	}
	told, sending := r.ends.A.Net.Run(ctx, program, "udp-send", "-to", fmt.Sprintf("%s:%d", r.ends.B.Addr, udpPort), "-stream", stream,
		"-size", strconv.Itoa(size), "-rate", strconv.FormatFloat(rate, 'f', 0, 64), "-for", rungTime.String())
	select {
	case <-time.After(100 * time.Millisecond): // what is under way
	case <-ctx.Done():
	}
	if err := receiver.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	var s sent
	var got received
	if sending != nil {
		return 0, sending
	}
	if err := json.Unmarshal([]byte(told), &s); err != nil {
		return 0, fmt.Errorf("udp-send printed %q: %w", told, err)
	}
	if err := json.NewDecoder(lines).Decode(&got); err != nil {
		return 0, fmt.Errorf("udp-receive: %w", err)
	}
	for _, buffer := range []int{s.Buffer, got.Buffer} {
		if buffer != 2*lab.SocketBuffer { // the kernel doubles it
			return 0, fmt.Errorf("a socket's buffer is %d bytes, not 2 × %d", buffer, lab.SocketBuffer)
		}
	}
	return got.Received, nil
}

var socketMemory = regexp.MustCompile(`skmem:\(r\d+,rb(\d+),t\d+,tb(\d+)`)

// checkBuffers finds the sockets of the tunnel's ends in the machines, and fails if the largest of
// one has other buffers than those that all should have.
func (r *running) checkBuffers(ctx context.Context) error {
	for _, m := range []*lab.Machine{r.pair.A, r.pair.B} {
		out, err := m.Run(ctx, "ss", "-u", "-a", "-n", "-m", "-H")
		if err != nil {
			return err
		}
		receive, send, err := largestBuffers(out)
		if err != nil {
			return err
		}
		if receive != 2*lab.SocketBuffer || send != 2*lab.SocketBuffer {
			return fmt.Errorf("the tunnel's socket has buffers of %d and %d bytes, not 2 × %d like all others", receive, send, lab.SocketBuffer)
		}
	}
	return nil
}

func largestBuffers(ss string) (receive, send int, err error) {
	var sizes [2][]int
	for line := range strings.Lines(ss) {
		match := socketMemory.FindStringSubmatch(line)
		for i := range min(2, max(0, len(match)-1)) {
			n, err := strconv.Atoi(match[i+1])
			if err != nil {
				return 0, 0, err
			}
			sizes[i] = append(sizes[i], n)
		}
	}
	if len(sizes[0]) == 0 {
		return 0, 0, fmt.Errorf("no socket in %q", ss)
	}
	return slices.Max(sizes[0]), slices.Max(sizes[1]), nil
}
