package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sync/errgroup"
)

// nameServe answers each datagram with a name, from the address that it came to: so one can
// ask who has an address that moves.
func nameServe(ctx context.Context, out *printer, args []string) error {
	flags := flag.NewFlagSet("name-serve", flag.ContinueOnError)
	name := flags.String("name", "", "what to answer")
	listen := flags.String("listen", ":7777", "local `address:port`, of both families")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *name == "" {
		return errors.New("give a name")
	}
	conn4, err := socket(ctx, "udp4", *listen)
	if err != nil {
		return err
	}
	defer conn4.Close() //nolint:errcheck // nothing is buffered
	port := conn4.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	conn6, err := socket(ctx, "udp6", fmt.Sprintf("[::]:%d", port))
	if err != nil {
		return err
	}
	defer conn6.Close() //nolint:errcheck // nothing is buffered
	p4, p6 := ipv4.NewPacketConn(conn4), ipv6.NewPacketConn(conn6)
	if err := errors.Join(p4.SetControlMessage(ipv4.FlagDst, true), p6.SetControlMessage(ipv6.FlagDst, true)); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() {
		_ = conn4.SetReadDeadline(time.Now())
		_ = conn6.SetReadDeadline(time.Now())
	})()
	if err := out.print(listening{conn4.LocalAddr().String()}); err != nil {
		return err
	}
	var group errgroup.Group
	group.Go(func() error {
		return answers(func(b []byte) error {
			_, control, from, err := p4.ReadFrom(b)
			if err != nil || control == nil {
				return err
			}
			// Where there is no way back, the asker hears nothing.
			_, _ = p4.WriteTo([]byte(*name), &ipv4.ControlMessage{Src: control.Dst}, from)
			return nil
		})
	})
	group.Go(func() error {
		return answers(func(b []byte) error {
			_, control, from, err := p6.ReadFrom(b)
			if err != nil || control == nil {
				return err
			}
			_, _ = p6.WriteTo([]byte(*name), &ipv6.ControlMessage{Src: control.Dst}, from)
			return nil
		})
	})
	return group.Wait()
}

// answers repeats one until the read deadline passes.
func answers(one func(b []byte) error) error {
	b := make([]byte, 512)
	for {
		if err := one(b); errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// named is printed by name-ask when somebody else answers than before, and when somebody
// answers after a silence.
type named struct {
	Address string `json:"address"` // as it was given
	Name    string `json:"name"`
	At      int64  `json:"at"`        // of the answer, in nanoseconds since 1970
	Silent  int64  `json:"silent_ms"` // since the answer before, or the start
}

// nameAsk asks several addresses all the time who they are.
func nameAsk(ctx context.Context, out *printer, args []string) error {
	flags := flag.NewFlagSet("name-ask", flag.ContinueOnError)
	port := flags.Uint("port", 7777, "of name-serve")
	every := flags.Duration("every", 100*time.Millisecond, "time between two questions to an address")
	silence := flags.Duration("silence", 500*time.Millisecond, "how long without an answer is worth telling")
	lasting := flags.Duration("for", 0, "end after this time; 0: never")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *lasting > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, *lasting)
		defer stop()
	}
	events := make(chan named)
	group, ctx := errgroup.WithContext(ctx)
	for _, arg := range flags.Args() {
		addr, err := netip.ParseAddr(arg)
		if err != nil {
			return err
		}
		to := netip.AddrPortFrom(addr, uint16(*port))
		group.Go(func() error { return ask(ctx, arg, to, *every, *silence, events) })
	}
	done := make(chan error, 1)
	go func() {
		done <- group.Wait()
		close(events)
	}()
	var failed error
	for e := range events {
		failed = errors.Join(failed, out.print(e))
	}
	return errors.Join(failed, <-done)
}

// ask asks one address, as the argument spells it, until the context ends.
func ask(ctx context.Context, arg string, to netip.AddrPort, every, silence time.Duration, events chan<- named) error {
	network := "udp4"
	if to.Addr().Is6() {
		network = "udp6"
	}
	conn, err := socket(ctx, network, ":0")
	if err != nil {
		return err
	}
	asking := make(chan struct{})
	go func() { // ends with this function, which waits for it
		defer close(asking)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			// Nobody may have the address yet, which the kernel tells here.
			_, _ = conn.WriteToUDPAddrPort([]byte("?"), to)
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	defer func() {
		<-asking
		conn.Close() //nolint:errcheck,gosec // nothing is buffered
	}()
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) })()
	name, last, b := "", time.Now(), make([]byte, 512)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil || from.Addr().Unmap() != to.Addr() {
			continue // an error is one of an earlier question
		}
		now := time.Now()
		if got := string(b[:n]); got != name || now.Sub(last) > silence {
			name = got
			select {
			case events <- named{arg, name, now.UnixNano(), now.Sub(last).Milliseconds()}:
			case <-ctx.Done():
				return nil
			}
		}
		last = now
	}
}
