package evio

import (
	"context"

	"evio/integration/bench/lab"
)

var (
	_ lab.SystemCalls = (*Container)(nil)
	_ lab.SystemCalls = (*TAP)(nil)
)

// SystemCalls implements lab.SystemCalls.
func (c *Container) SystemCalls(ctx context.Context) (a, b uint64, err error) {
	return systemCalls(ctx, &c.ends)
}

// SystemCalls implements lab.SystemCalls.
func (t *TAP) SystemCalls(ctx context.Context) (a, b uint64, err error) {
	return systemCalls(ctx, &t.ends)
}

// systemCalls adds up those of the UDP socket and of all TAPs of each end. Those of a TURN server's
// connection are not among them.
func systemCalls(ctx context.Context, ends *[2]end) (a, b uint64, err error) {
	var calls [2]uint64
	for i := range ends {
		d, err := ends[i].status(ctx)
		if err != nil {
			return 0, 0, err
		}
		calls[i] = d.Transport.SendCalls + d.Transport.ReceiveCalls
		for _, n := range d.Networks {
			for _, t := range n.TAPs {
				calls[i] += t.Reads + t.Writes
			}
		}
	}
	return calls[0], calls[1], nil
}
