package icemux

import (
	"context"
	"crypto/rand"
	"net/netip"
	"time"

	"evio/datapath/udp"
)

const (
	// maxQueries bounds the requests of one call of Reflexive.
	maxQueries = 32
	// settle is how long further answers are waited for when each base has one.
	settle = 200 * time.Millisecond
)

// retransmit is when an unanswered query is sent again, after the one before.
var retransmit = [...]time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond}

// Mapping is the address that a STUN server saw for one of ours.
type Mapping struct {
	Base   netip.Addr
	Mapped netip.AddrPort
}

// query is one request to one server from one base.
type query struct {
	id     transaction
	base   netip.Addr
	source udp.Source
	server netip.AddrPort
	answer chan<- answer
	done   bool
}

type answer struct {
	query  *query
	mapped netip.AddrPort
}

// receive implements receiver. An answer counts only if it comes from the
// server that was asked.
func (q *query) receive(from netip.AddrPort, _ []byte, m message) {
	if from != q.server || m.typ != typeBindingSuccess {
		return
	}
	if mapped, ok := m.mapped(); ok {
		select {
		case q.answer <- answer{q, mapped}:
		default: // a repeated answer
		}
	}
}

// Reflexive asks each server from each base of its family and returns the
// answers without repetitions; without a NAT the mapped address is the base. It
// returns when all have answered, when each base has an answer and no more
// come, when the last repetition stays unanswered, or when the context ends.
func (m *Mux) Reflexive(ctx context.Context, bases []netip.Addr, servers []netip.AddrPort) []Mapping {
	queries, answers := m.queries(bases, servers)
	defer m.forget(queries)

	var found []Mapping
	waiting, unanswered := len(queries), basesOf(queries)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for round := 0; waiting > 0; {
		select {
		case <-ctx.Done():
			return found
		case <-timer.C:
			if round > len(retransmit) || len(unanswered) == 0 {
				return found
			}
			m.ask(queries)
			if round < len(retransmit) {
				timer.Reset(retransmit[round])
			} else {
				timer.Reset(retransmit[len(retransmit)-1])
			}
			round++
		case a := <-answers:
			if a.query.done {
				continue
			}
			a.query.done = true
			waiting--
			found = appendMapping(found, Mapping{Base: a.query.base, Mapped: a.mapped})
			if delete(unanswered, a.query.base); len(unanswered) == 0 {
				timer.Reset(settle)
			}
		}
	}
	return found
}

func (m *Mux) queries(bases []netip.Addr, servers []netip.AddrPort) ([]*query, <-chan answer) {
	answers := make(chan answer, maxQueries) // one for each query; repeated ones may be lost
	var queries []*query
	for _, server := range servers {
		for _, base := range bases {
			if base.Is4() != server.Addr().Is4() || len(queries) == maxQueries {
				continue
			}
			q := &query{base: base, source: m.socket.Source(base), server: server, answer: answers}
			_, _ = rand.Read(q.id[:]) // never fails
			queries = append(queries, q)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, q := range queries {
		m.requests[q.id] = q
	}
	return queries, answers
}

func (m *Mux) forget(queries []*query) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, q := range queries {
		delete(m.requests, q.id)
	}
}

// ask sends the queries that have no answer. A server that cannot be reached
// from a base is like one that does not answer.
func (m *Mux) ask(queries []*query) {
	for _, q := range queries {
		if !q.done {
			_ = m.socket.Send(q.source, q.server, bindingRequest(q.id))
		}
	}
}

func basesOf(queries []*query) map[netip.Addr]struct{} {
	bases := make(map[netip.Addr]struct{})
	for _, q := range queries {
		bases[q.base] = struct{}{}
	}
	return bases
}

func appendMapping(found []Mapping, m Mapping) []Mapping {
	for _, f := range found {
		if f.Mapped == m.Mapped {
			return found
		}
	}
	return append(found, m)
}
