package main

import (
	"context"

	"evio/integration/bench/lab"
)

// veth is the cable itself: no tunnel.
type veth struct{ pair *lab.Pair }

func (v *veth) Prepare(_ context.Context, p *lab.Pair) error {
	v.pair = p
	return nil
}

func (v *veth) Up(context.Context) (lab.Ends, error) {
	return lab.Ends{
		A:   lab.End{Net: v.pair.A.Namespace, Addr: v.pair.A.Addr},
		B:   lab.End{Net: v.pair.B.Namespace, Addr: v.pair.B.Addr},
		MTU: lab.UnderlayMTU,
	}, nil
}

func (v *veth) Down(context.Context) error { return nil }
