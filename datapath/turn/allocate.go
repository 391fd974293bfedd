package turn

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/pion/stun/v4"
)

// allocate gets an allocation of one server, at whichever address answers first. The error
// is the most informative one of all addresses.
func (p *Pool) allocate(ctx context.Context, s *server) (*Allocation, error) {
	resolving, cancel := context.WithTimeout(ctx, p.timing.answer)
	defer cancel()
	addresses, err := p.addresses(resolving, s.uri)
	if err != nil {
		return nil, err // of the resolver, or that it took too long
	}
	username, password, err := s.config.credentials(time.Now())
	if err != nil {
		return nil, err
	}
	a, errs := race(ctx, len(addresses), AddressStagger, p.tasks.Go, func(ctx context.Context, i int) (*Allocation, error) {
		return p.allocateAt(ctx, s, addresses[i], username, password)
	}, (*Allocation).giveBack)
	if a == nil {
		return nil, mostInformative(errs)
	}
	return a, nil
}

// allocateAt gets an allocation at one address of a server. The end of the context does not
// interrupt a request: the server may have made the allocation, which would stay there.
func (p *Pool) allocateAt(ctx context.Context, s *server, to netip.AddrPort, username, password string) (*Allocation, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.timing.answer, noAnswerError(p.timing.answer))
	defer cancel()
	began := time.Now()
	conn, err := p.connect(ctx, s, to)
	if err != nil {
		return nil, timely(ctx, err)
	}
	c, err := newServerConn(conn, p.config.Offload, p.timing.answer)
	if err != nil {
		return nil, err
	}
	c.signer.username, c.signer.password = username, password
	a := newAllocation(p, s, c)
	if !p.addLive(a) {
		c.close(ErrClosed)
	}
	c.tasks.Go(func() { c.read((&arrivals{Allocation: a}).receive) })
	limit := time.AfterFunc(p.timing.answer-time.Since(began), func() { c.close(noAnswerError(p.timing.answer)) })
	defer limit.Stop()
	if err := a.request(ctx); err != nil {
		c.close(err)
		c.tasks.Wait()
		p.removeLive(a, err)
		if ctx.Err() != nil {
			p.noteLate(s, err, began)
		}
		return nil, err
	}
	p.markMade(a)
	p.tasks.Go(a.run)
	return a, nil
}

// request asks for an IPv4 address, and for an IPv6 one if the server has no other. A request
// that names no family asks for IPv4.
func (a *Allocation) request(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	transport := attribute(stun.AttrRequestedTransport, transportUDP, 0, 0, 0)
	m, err := a.conn.request(stun.MethodAllocate, transport)
	var refused *refusedError
	if errors.As(err, &refused) && refused.code == stun.CodeAddrFamilyNotSupported && ctx.Err() == nil {
		m, err = a.conn.request(stun.MethodAllocate, transport, attribute(stun.AttrRequestedAddressFamily, familyIPv6, 0, 0, 0))
	}
	if err != nil {
		return err
	}
	if a.relayed, a.lifetime, err = allocated(m); err != nil {
		return fmt.Errorf("read its answer: %w", err)
	}
	return nil
}

// timely returns the time limit as the error if that has ended the context.
func timely(ctx context.Context, err error) error {
	if late, ok := errors.AsType[noAnswerError](context.Cause(ctx)); ok {
		return late
	}
	return err
}
