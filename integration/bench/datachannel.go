package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"evio/integration/bench/lab"
)

// dataChannel carries the frames of a TAP on a data channel of pion/webrtc, as one would who had
// nothing but WebRTC's own interface.
type dataChannel struct {
	pair    *lab.Pair
	running []*lab.Process
}

// dataChannelMTU lets a frame go in one piece: pion cuts messages of more than 1200 bytes.
const dataChannelMTU = 1200 - 14

func (d *dataChannel) Prepare(_ context.Context, p *lab.Pair) error {
	d.pair = p
	return nil
}

func (d *dataChannel) Up(ctx context.Context) (lab.Ends, error) {
	for _, file := range []string{offerFile, answerFile} {
		if err := os.RemoveAll(filepath.Join(d.pair.Dir, file)); err != nil {
			return lab.Ends{}, err
		}
	}
	ends := [2]lab.End{
		{Net: d.pair.A.Namespace, Addr: lab.TunnelA},
		{Net: d.pair.B.Namespace, Addr: lab.TunnelB},
	}
	for i, m := range []*lab.Machine{d.pair.A, d.pair.B} {
		side := []string{"a", "b"}[i]
		p, err := m.Start(ctx, "datachannel-"+side, filepath.Join(d.pair.Bin, "bench"), "datachannel", "-side", side, "-dir", d.pair.Dir)
		if err != nil {
			return lab.Ends{}, err
		}
		d.running = append(d.running, p)
		err = p.Await(ctx, func() error { return address(ctx, m.Namespace, dataChannelDevice, ends[i].Addr, dataChannelMTU) })
		if err != nil {
			return lab.Ends{}, fmt.Errorf("datachannel: %w", err)
		}
	}
	return lab.Ends{A: ends[0], B: ends[1], MTU: dataChannelMTU}, nil
}

func (d *dataChannel) Down(context.Context) error {
	stop(&d.running)
	return nil
}
