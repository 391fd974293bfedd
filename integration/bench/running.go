package main

import (
	"context"
	"fmt"
	"time"

	"evio/integration/bench/lab"
)

// running is a system that is up in a pair of its own.
type running struct {
	name   string
	system lab.System
	pair   *lab.Pair
	ends   lab.Ends
	server *lab.Process // iperf3 at B

	rungs   map[ladder]int // the last results
	streams uint64         // of udp so far
	losses  map[float64]lossCount
}

// up starts the system and returns how long it took until a ping was answered.
func (r *running) up(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	var err error
	if r.ends, err = r.system.Up(ctx); err != nil {
		return 0, err
	}
	if err := r.firstAnswer(ctx); err != nil {
		return 0, err
	}
	took := time.Since(began)
	r.server, err = r.ends.B.Net.Start(ctx, "iperf3-"+r.name, "iperf3", "-s")
	return took, err
}

// down ends what up has started.
func (r *running) down(ctx context.Context) error {
	if r.server != nil {
		r.server.Stop()
	}
	return r.system.Down(ctx)
}

// again takes the system down and up, and returns how long the latter took.
func (b *bench) again(ctx context.Context, r *running) (time.Duration, error) {
	if err := r.down(ctx); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, mostSetup)
	defer cancel()
	return r.up(ctx)
}

// pingsBesideTCP returns the round trips of 10 s beside one connection.
func (r *running) pingsBesideTCP(ctx context.Context) ([]float64, error) {
	const seconds, lead = 10, time.Second
	loaded := make(chan error, 1)
	go func() { // ends with iperf3
		_, err := r.ends.A.Net.Run(ctx, r.iperf(seconds+2, 1)...)
		loaded <- err
	}()
	select {
	case <-time.After(lead):
	case <-ctx.Done():
	}
	trips, err := r.pings(ctx, seconds*200)
	if e := <-loaded; e != nil {
		return nil, e
	}
	return trips, err
}

// lost adds what the rules counted in one run, and fails when they do not drop what they should.
func (r *running) lost(share float64, all, dropped uint64) error {
	c := r.losses[share]
	c = lossCount{c.all + all, c.dropped + dropped}
	r.losses[share] = c
	if err := c.holds(share); err != nil {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	return nil
}
