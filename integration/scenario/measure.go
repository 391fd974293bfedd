package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

var average = regexp.MustCompile(`= [0-9.]+/([0-9.]+)/`)

// RoundTrip pings an address from a container and returns the average. An answer that
// is missing is an error.
func (s *Site) RoundTrip(ctx context.Context, container, to string, count int) (time.Duration, error) {
	out, err := s.Exec(ctx, container, "ping", "-q", "-c", strconv.Itoa(count), "-i", "0.2", "-W", "2", to)
	if err != nil {
		return 0, err
	}
	match := average.FindStringSubmatch(out)
	if match == nil {
		return 0, fmt.Errorf("ping printed no average: %q", out)
	}
	ms, err := strconv.ParseFloat(match[1], 64)
	if err != nil {
		return 0, fmt.Errorf("ping printed %q: %w", out, err)
	}
	return time.Duration(ms * float64(time.Millisecond)), nil
}

// Throughput sends TCP for some seconds from a container to an address at which
// iperf3 serves, and returns what that received, in bits per second.
func (s *Site) Throughput(ctx context.Context, container, to string, seconds int) (float64, error) {
	out, err := s.Exec(ctx, container, "iperf3", "--json", "-c", to, "-t", strconv.Itoa(seconds))
	if err != nil {
		return 0, err
	}
	var result struct {
		End struct {
			SumReceived struct {
				BitsPerSecond float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		} `json:"end"`
	}
	if err := json.Unmarshal([]byte(out), &result); err != nil {
		return 0, fmt.Errorf("iperf3 printed %q: %w", out, err)
	}
	return result.End.SumReceived.BitsPerSecond, nil
}
