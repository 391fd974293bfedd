package session

import (
	"encoding/binary"
	"time"

	"evio/datapath/drops"
	"evio/datapath/record"
)

// foreignGap is how often the owner hears of one route by which records come.
const foreignGap = 100 * time.Millisecond

// receiveProbe takes a record of the session's own. The answer goes back by the
// way the request has come, so who hears it knows that the way leads both ways. It
// goes by the path as well: who repeats a request from elsewhere, faster than the
// request itself comes, does not take the answer away.
func (s *Session) receiveProbe(p record.Plain, by route, via relay) {
	if p.Slice { // of which the body may be empty
		s.drops.Add(drops.RecordPlain)
		return
	}
	operation := p.Body[0]
	switch {
	case operation == opRequest && len(p.Body) == requestSize:
		body := func(dst []byte) []byte { return appendAnswer(dst, p.Body, by.remote) }
		s.answer(by, via, body)
		if current := s.path.Load(); current != nil && current.route != by {
			s.sendOwn(s.keys.sending(), Probe, body)
		}
	case operation == opAnswer:
		s.receiveAnswer(p.Body, by)
	case operation == opGoodbye:
		s.end(ErrPeerClosed)
	case operation == opCandidates:
		sequence, candidates, err := parseCandidates(p.Body)
		if err != nil {
			s.drops.Add(drops.ProbeUnknown)
			return
		}
		candidates = s.usable(candidates)
		if s.tell(event{kind: peerCandidates, sequence: sequence, candidates: candidates}) {
			s.answer(by, via, func(dst []byte) []byte { return appendReceived(dst, sequence) })
		}
	case operation == opReceived && len(p.Body) == sequenceSize:
		s.tell(event{kind: receipt, sequence: binary.BigEndian.Uint32(p.Body[1:])})
	case operation == opSized && len(p.Body) > requestSize:
		token := binary.BigEndian.Uint64(p.Body[1:])
		// By the own path and not by that of the request: it is what has to take the size.
		s.sendOwn(s.keys.sending(), Probe, func(dst []byte) []byte { return appendPadded(dst, opSizeCame, token, len(p.Body)) })
	case operation == opNarrow && len(p.Body) == 1:
		s.large.Store(true) // it is worth asking
	case operation == opSizeCame && len(p.Body) > requestSize:
		s.tell(event{kind: sizeCame, token: binary.BigEndian.Uint64(p.Body[1:])})
	default:
		s.drops.Add(drops.ProbeUnknown)
	}
}

// receiveAnswer takes the answer to a probe. Only by the route of the probe does it
// prove that another route works. Of the path it says in any case that what we send
// arrives: records of the peer may come from elsewhere, and be overtaken by those
// who repeat them.
func (s *Session) receiveAnswer(body []byte, by route) {
	sent, known := s.pinger.answer(body, by)
	if !known {
		s.drops.Add(drops.ProbeUnknown)
		return
	}
	if sent.done {
		return
	}
	now, p := s.transport.now(), s.path.Load()
	onPath := p != nil && sent.route == p.route
	if onPath && by == p.route {
		s.pinger.measure(body, now-sent.at)
	}
	if onPath || by == sent.route {
		s.tell(event{kind: probeAnswer, route: sent.route, at: now, took: now - sent.at})
	}
}

// answer sends a record of the session's own by the way another has come.
func (s *Session) answer(by route, via relay, body func(dst []byte) []byte) {
	p := s.path.Load()
	if p == nil {
		return
	}
	if by != p.route {
		back := &path{route: by, out: lease{via, s}, slot: (p.slot + 1) % record.Slots}
		if via == nil {
			back.out = s.transport.host(by.local)
		}
		p = back
	}
	s.sendOwnOn(p, s.keys.sending(), Probe, body)
}

// tellForeign tells the owner of a valid record that has come by another way than
// the path, not of each.
func (s *Session) tellForeign(by route, now time.Duration) {
	if s.foreign.route == by && now-s.foreign.at < foreignGap {
		return
	}
	s.foreign = event{kind: foreignRecord, route: by, at: now}
	s.tell(s.foreign)
}

// tell hands an event to the owner, if there is room.
func (s *Session) tell(e event) bool {
	select {
	case s.events <- e:
		return true
	default:
		s.limited()
		return false
	}
}

func (s *Session) limited() { s.drops.Add(drops.PathLimit) }
