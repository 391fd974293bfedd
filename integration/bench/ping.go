package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var roundTrip = regexp.MustCompile(`time=([0-9.]+) ms`)

// lostTrip is the round trip of an echo that has no answer, in ms: longer than any that has one.
const lostTrip = 1000

// pings returns count round trips from A to B in ms, 200 of them sent a second.
func (r *running) pings(ctx context.Context, count int) ([]float64, error) {
	out, err := r.ends.A.Net.Run(ctx, "ping", "-n", "-i", "0.005", "-W", "1", "-c", strconv.Itoa(count), r.ends.B.Addr.String())
	if trips := parsePings(out, count); trips != nil {
		return trips, nil // ping reports a lost one as a failure
	}
	return nil, errors.Join(errors.New("no ping was answered"), err)
}

// parsePings returns nil if none was answered.
func parsePings(out string, count int) []float64 {
	var trips []float64
	for _, match := range roundTrip.FindAllStringSubmatch(out, count) {
		if ms, err := strconv.ParseFloat(match[1], 64); err == nil {
			trips = append(trips, ms)
		}
	}
	for answered := len(trips); answered > 0 && len(trips) < count; {
		trips = append(trips, lostTrip)
	}
	return trips
}

// firstAnswer waits until a ping from A to B is answered. Until there is a way, ping may end at
// once, and is started again.
func (r *running) firstAnswer(ctx context.Context) error {
	for {
		err := r.oneAnswer(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no ping is answered: %w: %w", ctx.Err(), err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (r *running) oneAnswer(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := r.ends.A.Net.Command(ctx, "ping", "-n", "-i", "0.01", "-W", "1", "-c", "100", r.ends.B.Addr.String())
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	lines, answered := bufio.NewScanner(out), false
	for !answered && lines.Scan() {
		answered = strings.Contains(lines.Text(), "bytes from")
	}
	cancel()
	_, _ = io.Copy(io.Discard, out) // it has been killed
	if err := cmd.Wait(); !answered {
		return errors.Join(errors.New("ping ended without an answer"), err)
	}
	return nil
}
