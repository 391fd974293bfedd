package turn

import (
	"context"
	"errors"
	"strings"
	"time"
)

// choose gets an allocation from one of the servers that may be asked now. The error names
// the reason of each server.
func (p *Pool) choose(ctx context.Context) (*Allocation, error) {
	asked := p.askable(time.Now())
	a, errs := race(ctx, len(asked), p.timing.stagger, p.tasks.Go, func(ctx context.Context, i int) (*Allocation, error) {
		a, err := p.allocate(ctx, asked[i])
		if err == nil || ctx.Err() == nil {
			p.noteResult(asked[i], err)
		}
		return a, err
	}, (*Allocation).giveBack)
	if a != nil {
		return a, nil
	}
	if ctx.Err() != nil {
		return nil, ErrClosed
	}
	return nil, p.reasons(errs)
}

// askable returns the servers that have not just failed.
func (p *Pool) askable(now time.Time) []*server {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []*server
	for _, s := range p.servers {
		if !now.Before(s.retry) {
			out = append(out, s)
		}
	}
	return out
}

// Unusable is the error if no server gives a relayed address.
type Unusable struct {
	reasons []string
	errs    []error
}

func (u *Unusable) Error() string {
	return "no TURN server can be used: " + strings.Join(u.reasons, "; ")
}

// Unwrap returns the errors of the servers that were asked this time.
func (u *Unusable) Unwrap() []error { return u.errs }

// reasons joins what is known of all servers, even of those that were not asked this time.
func (p *Pool) reasons(errs []error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := &Unusable{errs: errs}
	for _, s := range p.servers {
		u.reasons = append(u.reasons, s.config.URI+": "+s.reason)
	}
	return u
}

// The states of a server.
const (
	Unused = "unused" // it was never asked
	Usable = "usable" // the last attempt succeeded
	Failed = "failed" // the last attempt failed, or the allocation was lost
)

// Status is what is known of a server.
type Status struct {
	URI         string    `json:"uri"`
	State       string    `json:"state"`
	Reason      string    `json:"reason,omitempty"` // of Failed
	Since       time.Time `json:"since"`            // of state and reason
	Allocations int       `json:"allocations"`
	Dropped     uint64    `json:"dropped"` // datagrams, either way; those that found the kernel's buffer full are counted as in udp.Stats
}

// Status returns the servers in their order.
func (p *Pool) Status() []Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]Status, len(p.servers))
	for i, s := range p.servers {
		out[i] = Status{URI: s.config.URI, State: s.state, Reason: s.reason, Since: s.since, Dropped: s.dropped.Load()}
		for a, made := range p.live {
			if made && a.server == s {
				out[i].Allocations++
			}
		}
	}
	return out
}

// noteResult notes the result of asking a server.
func (p *Pool) noteResult(s *server, err error) {
	if err != nil {
		p.setState(s, Failed, explain(err, s), p.timing.retry)
		return
	}
	p.mu.Lock()
	s.worked = time.Now()
	p.mu.Unlock()
	p.setState(s, Usable, "", 0)
}

// noteLate notes why an address of a server did not win the race, unless another of its
// addresses did.
func (p *Pool) noteLate(s *server, err error, began time.Time) {
	if errors.Is(err, context.Canceled) || errors.Is(err, ErrClosed) {
		return
	}
	p.mu.Lock()
	other := s.worked.After(began)
	p.mu.Unlock()
	if !other {
		p.setState(s, Failed, explain(err, s), p.timing.retry)
	}
}

// noteLoss notes the loss of an allocation. The server may be asked again at once, since it
// may just have been restarted, unless the allocation was new.
func (p *Pool) noteLoss(a *Allocation, cause error) {
	rest := time.Duration(0)
	if time.Since(a.made) < p.timing.retry {
		rest = p.timing.retry
	}
	p.setState(a.server, Failed, "the relayed address was lost: "+explain(cause, a.server), rest)
}

// setState sets the state of a server and logs changes. The server is not asked for rest.
func (p *Pool) setState(s *server, state, reason string, rest time.Duration) {
	now := time.Now()
	p.mu.Lock()
	before, same := s.state, s.state == state && s.reason == reason
	if !same {
		s.state, s.reason, s.since = state, reason, now
	}
	s.retry = now.Add(rest)
	p.mu.Unlock()
	log := p.config.Log.WithField("server", s.config.URI)
	switch {
	case same:
	case state == Failed:
		log.Warnf("TURN server cannot be used: %s", reason)
	case before == Failed:
		log.Info("TURN server can be used again")
	default:
	}
}

// mostInformative returns the error that helps most of those of a server's addresses: first
// what the server said, then why it is not trusted, then any other.
func mostInformative(errs []error) error {
	for _, informative := range []func(error) bool{isRefusal, isUntrusted} {
		for _, err := range errs {
			if informative(err) {
				return err
			}
		}
	}
	return errs[0]
}

func isRefusal(err error) bool {
	var r *refusedError
	return errors.As(err, &r)
}
