package evio

import (
	"context"
	"errors"
	"os"

	"evio/integration/bench/lab"
	"evio/plugin/config"
)

// TAP is evio-tap.
type TAP struct {
	ends   [2]end
	change func(*config.File) // of both nodes; nil: none
}

// NewTAP returns evio-tap.
func NewTAP() *TAP { return &TAP{} }

// Prepare starts the XMPP server and both nodes.
func (t *TAP) Prepare(ctx context.Context, p *lab.Pair) error {
	t.ends = newEnds(p)
	x, err := startXMPP(ctx, p.A.Namespace, p.A.Addr, p.Dir, users)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for i := range t.ends {
		e, far := &t.ends[i], t.ends[1-i]
		if e.engine, err = newEngine(e.machine.Namespace, p.Dir, users[i], x, t.change); err != nil {
			return err
		}
		if err := e.start(ctx, self, NodeRole, e.addr.String(), e.mac.String(), far.addr.Addr().String(), far.mac.String()); err != nil {
			return err
		}
	}
	return nil
}

// Up makes the network at both ends. The container that claims the host's address and MAC address
// is an interface that nobody uses.
func (t *TAP) Up(ctx context.Context) (lab.Ends, error) {
	for i := range t.ends {
		e := &t.ends[i]
		if err := e.createNetwork(ctx, overlayName, e.addr.Masked()); err != nil {
			return lab.Ends{}, err
		}
		if _, err := e.join(ctx, overlayName, e.addr, e.mac); err != nil {
			return lab.Ends{}, err
		}
	}
	a, b := &t.ends[0], &t.ends[1]
	return lab.Ends{
		A: lab.End{Net: a.machine.Namespace, Addr: a.addr.Addr()}, B: lab.End{Net: b.machine.Namespace, Addr: b.addr.Addr()},
		MTU: mtu,
	}, nil
}

// Down removes the networks; the nodes stay. It fails if the path was not direct.
func (t *TAP) Down(ctx context.Context) error {
	errs := []error{checkPath(ctx, &t.ends, direct)}
	for i := range t.ends {
		e := &t.ends[i]
		errs = append(errs, e.leave(ctx, overlayName, e.addr), e.deleteNetwork(ctx, overlayName))
	}
	return errors.Join(errs...)
}
