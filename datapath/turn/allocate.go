package turn

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/pion/stun/v4"
)

// allocate gets an allocation of one server, at whichever address answers
// first. The error is the most telling one of all addresses.
func (p *Pool) allocate(ctx context.Context, s *server) (*Allocation, error) {
	resolving, cancel := context.WithTimeout(ctx, p.timing.answer)
	defer cancel()
	addresses, err := p.addresses(resolving, s.uri)
	if err != nil {
		return nil, err // of the resolver, also when it took too long
	}
	username, password, err := s.config.credentials(time.Now())
	if err != nil {
		return nil, err
	}
	a, errs := race(ctx, len(addresses), AddressStagger, p.tasks.Go, func(ctx context.Context, i int) (*Allocation, error) {
		return p.allocateAt(ctx, s, addresses[i], username, password)
	}, (*Allocation).giveBack)
	if a == nil {
		return nil, mostTelling(errs)
	}
	return a, nil
}

// allocateAt gets an allocation at one address of a server. Requests are not
// cut by the end of the context, since the server may have answered: the
// allocation would stay there.
func (p *Pool) allocateAt(ctx context.Context, s *server, to netip.AddrPort, username, password string) (*Allocation, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.timing.answer, silence(p.timing.answer))
	defer cancel()
	began := time.Now()
	conn, err := p.connect(ctx, s, to)
	if err != nil {
		return nil, timely(ctx, err)
	}
	l, err := newLink(conn, s.uri.Transport != UDP, p.timing.answer)
	if err != nil {
		return nil, err
	}
	l.signer.username, l.signer.password = username, password
	a := newAllocation(p, s, l)
	if !p.enter(a) {
		l.close(ErrClosed)
	}
	l.tasks.Go(func() { l.read(a.receive) })
	limit := time.AfterFunc(p.timing.answer-time.Since(began), func() { l.close(silence(p.timing.answer)) })
	defer limit.Stop()
	if err := a.request(ctx); err != nil {
		l.close(err)
		l.tasks.Wait()
		p.ended(a, err)
		if ctx.Err() != nil {
			p.tooLate(s, err, began)
		}
		return nil, err
	}
	p.made(a)
	p.tasks.Go(a.run)
	return a, nil
}

// request asks for an IPv4 address, as every request does that names no family,
// and for an IPv6 one if the server has no other.
func (a *Allocation) request(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	transport := attribute(stun.AttrRequestedTransport, transportUDP, 0, 0, 0)
	m, err := a.link.request(stun.MethodAllocate, transport)
	var refused *refusal
	if errors.As(err, &refused) && refused.code == stun.CodeAddrFamilyNotSupported && ctx.Err() == nil {
		m, err = a.link.request(stun.MethodAllocate, transport, attribute(stun.AttrRequestedAddressFamily, familyIPv6, 0, 0, 0))
	}
	if err != nil {
		return err
	}
	if a.relayed, a.life, err = allocated(m); err != nil {
		return fmt.Errorf("read its answer: %w", err)
	}
	return nil
}

// timely returns the reason why a context ended if it was the time.
func timely(ctx context.Context, err error) error {
	if late, ok := errors.AsType[silence](context.Cause(ctx)); ok {
		return late
	}
	return err
}
