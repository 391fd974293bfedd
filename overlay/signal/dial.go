package signal

import (
	"context"
	"fmt"
	"net"
	"time"
)

const (
	// maxAddresses bounds the addresses of one host that are tried.
	maxAddresses = 8
	// headStart is what each address has before the next is tried beside it (RFC 8305,
	// section 5).
	headStart = 250 * time.Millisecond
)

// connect opens a TCP connection to whichever address of an endpoint answers first.
func (c *Client) connect(ctx context.Context, to endpoint) (net.Conn, error) {
	addrs, err := c.cfg.Resolver.LookupNetIP(ctx, "ip", to.host)
	if err == nil && len(addrs) == 0 {
		err = errNoAddress
	}
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", to, err)
	}
	var targets []string
	for _, a := range addrs[:min(len(addrs), maxAddresses)] {
		targets = append(targets, net.JoinHostPort(a.Unmap().String(), to.port))
	}
	conn, err := race(ctx, targets, c.cfg.Dial)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", to, err)
	}
	return conn, nil
}

// race dials the targets, each when the one before has failed or has had its head start.
// The first connection wins; all others are closed. Without one the error is that of the
// first target.
func race(ctx context.Context, targets []string, dial func(ctx context.Context, network, addr string) (net.Conn, error)) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		target int
		conn   net.Conn
		err    error
	}
	results := make(chan result)
	errs := make([]error, len(targets))
	var won net.Conn
	next := time.NewTimer(0)
	defer next.Stop()
	for started, ended := 0, 0; ended < len(targets) && (won == nil || ended < started); {
		var due <-chan time.Time
		if started < len(targets) && won == nil {
			due = next.C
		}
		select {
		case <-due:
			target := started
			go func() { // its result is waited for
				conn, err := dial(ctx, "tcp", targets[target])
				results <- result{target, conn, err}
			}()
			started++
			next.Reset(headStart)
		case r := <-results:
			ended++
			switch {
			case r.err != nil:
				errs[r.target] = r.err
				next.Reset(0)
			case won == nil:
				won = r.conn
				cancel()
			default:
				_ = r.conn.Close() // too late, nothing was sent
			}
		}
	}
	if won == nil {
		return nil, errs[0]
	}
	return won, nil
}
