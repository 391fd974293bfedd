//go:build e2e

package soak

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	"evio/integration/scenario"
)

// streamLimit is how long one TCP connection may take, an outage included.
const streamLimit = 90 * time.Second

// stream sends one TCP connection after another from a container to another one.
type stream struct {
	from, to scenario.Spot
	address  string // of to
	port     int
	bytes    int // of each connection
	done     int // connections whose bytes all came
}

// received is what a probe prints of a connection.
type received struct {
	Bytes  int64
	SHA256 string
}

func (s *stream) String() string {
	return fmt.Sprintf("TCP from %s to %s", s.from.Container, s.address)
}

// run begins connections until there are enough, and sends what it has begun to the end. The context
// bounds all of it.
func (s *stream) run(ctx context.Context, enough <-chan struct{}) error {
	for {
		select {
		case <-enough:
			return nil
		default:
		}
		if err := s.connection(ctx); err != nil {
			return fmt.Errorf("%v, connection %d: %w", s, s.done+1, err)
		}
		s.done++
	}
}

// connection sends the bytes of one, and compares what came with what was sent.
func (s *stream) connection(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, streamLimit+20*time.Second)
	defer cancel()
	ear, err := start(ctx, s.to, fmt.Sprintf("stream-%d-%d", s.port, s.done), "probe", "app-tcp-recv",
		"-listen", ":"+strconv.Itoa(s.port), "-for", (streamLimit + 5*time.Second).String())
	if err != nil {
		return err
	}
	if err := listens(ctx, ear); err != nil {
		return err
	}
	out, err := s.from.Site.Run(ctx, inside(s.from, "probe", "app-tcp-send", "-to", s.address+":"+strconv.Itoa(s.port),
		"-bytes", strconv.Itoa(s.bytes), "-for", streamLimit.String())...)
	if err != nil {
		return fmt.Errorf("%w: it printed %q", err, out)
	}
	var sent, came received
	if err := json.Unmarshal([]byte(out), &sent); err != nil {
		return fmt.Errorf("the sender printed %q: %w", out, err)
	}
	select {
	case <-ear.Done():
	case <-ctx.Done():
		return fmt.Errorf("the receiver has not ended: %w", ctx.Err())
	}
	if err := ear.Last(&came); err != nil {
		return err
	}
	if came != sent || came.Bytes != int64(s.bytes) {
		return fmt.Errorf("%d bytes with hash %.12s came, %d bytes with hash %.12s were sent, of %d", came.Bytes, came.SHA256, sent.Bytes, sent.SHA256, s.bytes)
	}
	return os.Remove(ear.Log()) // there are many
}

// inside is a command line for the site's host that runs a program in a container's network
// alone, where signals reach it.
func inside(s scenario.Spot, args ...string) []string {
	return append([]string{"nsenter", "--target", strconv.Itoa(s.PID), "--net"}, args...)
}

// start starts such a program; it ends with the lab.
func start(ctx context.Context, s scenario.Spot, name string, args ...string) (scenario.Job, error) {
	p, err := s.Site.Start(ctx, s.Container+"-"+name, inside(s, args...)...)
	return scenario.Job{Process: p, Name: name}, err
}

// listens waits until a probe says so.
func listens(ctx context.Context, j scenario.Job) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return scenario.Await(ctx, func() error {
		var l struct{ Listening string }
		if err := j.Last(&l); err != nil {
			return err
		}
		if l.Listening == "" {
			return fmt.Errorf("%s does not listen", j.Name)
		}
		return nil
	})
}
