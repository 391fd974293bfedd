package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"evio/integration/bench/lab"
)

// stream is what a run of iperf3 from A to B came to.
type stream struct {
	rate    float64 // received, bits per second
	bytes   float64 // received
	resent  int     // segments
	busy    float64 // seconds of processors meanwhile, less what they do when idle
	a, b    uint64  // system calls of the tunnel's ends, where they are counted
	counted bool
}

// tcp sends for some seconds over some connections, with cubic: the kernel's default may be another.
func (r *running) tcp(ctx context.Context, seconds, connections int, idle load) (stream, error) {
	counter, counts := r.system.(lab.SystemCalls)
	s := stream{counted: counts}
	var a, b uint64
	var err error
	if counts {
		if a, b, err = counter.SystemCalls(ctx); err != nil {
			return stream{}, err
		}
	}
	before, err := readUsage()
	if err != nil {
		return stream{}, err
	}
	out, err := r.ends.A.Net.Run(ctx, r.iperf(seconds, connections)...)
	if err != nil {
		return stream{}, err
	}
	after, err := readUsage()
	if err != nil {
		return stream{}, err
	}
	if s.rate, s.bytes, s.resent, err = parseIperf(out); err != nil {
		return stream{}, err
	}
	s.busy = after.loadSince(before).above(idle) * after.at.Sub(before.at).Seconds()
	if counts {
		if s.a, s.b, err = counter.SystemCalls(ctx); err != nil {
			return stream{}, err
		}
		s.a, s.b = s.a-a, s.b-b
	}
	return s, nil
}

func (r *running) iperf(seconds, connections int) []string {
	return []string{
		"iperf3", "--json", "-C", "cubic", "-c", r.ends.B.Addr.String(),
		"-t", strconv.Itoa(seconds), "-P", strconv.Itoa(connections),
	}
}

func parseIperf(out string) (rate, bytes float64, resent int, err error) {
	var result struct {
		Error string `json:"error"`
		End   struct {
			Sent struct {
				Retransmits int `json:"retransmits"`
			} `json:"sum_sent"`
			Received struct {
				Bytes         float64 `json:"bytes"`
				BitsPerSecond float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		} `json:"end"`
	}
	if err := json.Unmarshal([]byte(out), &result); err != nil {
		return 0, 0, 0, fmt.Errorf("iperf3 printed %q: %w", out, err)
	}
	if result.Error != "" || result.End.Received.Bytes == 0 {
		return 0, 0, 0, fmt.Errorf("iperf3: nothing was received: %s", result.Error)
	}
	return result.End.Received.BitsPerSecond, result.End.Received.Bytes, result.End.Sent.Retransmits, nil
}
