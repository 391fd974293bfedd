package session

import (
	"encoding/binary"
	"time"

	"evio/datapath/drops"
	"evio/datapath/record"
	"evio/datapath/session/path"
)

// foreignGap is how often the owner hears of one route by which records come.
const foreignGap = 100 * time.Millisecond

// receiveProbe takes a record of the session's own. The answer goes back by the
// way the request has come, so who hears it knows that the way leads both ways. It
// goes by the path as well: who repeats a request from elsewhere, faster than the
// request itself comes, does not take the answer away.
func (s *Session) receiveProbe(p record.Plain, by path.Route, via relay) {
	if p.Slice { // of which the body may be empty
		s.drops.Add(drops.RecordPlain)
		return
	}
	operation := p.Body[0]
	switch {
	case operation == path.OpRequest && len(p.Body) == path.RequestSize:
		body := func(dst []byte) []byte { return path.AppendAnswer(dst, p.Body, by.Remote) }
		s.answer(by, via, body)
		if current := s.path.Load(); current != nil && current.Route != by {
			s.sendOwn(s.keys.Sending(), Probe, body)
		}
	case operation == path.OpAnswer:
		s.receiveAnswer(p.Body, by)
	case operation == path.OpGoodbye:
		s.end(ErrPeerClosed)
	case operation == path.OpCandidates:
		sequence, candidates, err := path.ParseCandidates(p.Body)
		if err != nil {
			s.drops.Add(drops.ProbeUnknown)
			return
		}
		candidates = s.usable(candidates)
		if s.tell(event{kind: peerCandidates, sequence: sequence, candidates: candidates}) {
			s.answer(by, via, func(dst []byte) []byte { return path.AppendReceived(dst, sequence) })
		}
	case operation == path.OpReceived && len(p.Body) == path.SequenceSize:
		s.tell(event{kind: receipt, sequence: binary.BigEndian.Uint32(p.Body[1:])})
	case operation == path.OpSizeRequest && len(p.Body) > path.RequestSize:
		token := binary.BigEndian.Uint64(p.Body[1:])
		// By the own path and not by that of the request: it is what has to take the size.
		s.sendOwn(s.keys.Sending(), Probe, func(dst []byte) []byte { return path.AppendPadded(dst, path.OpSizeAnswer, token, len(p.Body)) })
	case operation == path.OpNarrow && len(p.Body) == 1:
		s.large.Store(true) // it is worth asking
	case operation == path.OpSizeAnswer && len(p.Body) > path.RequestSize:
		s.tell(event{kind: sizeCame, token: binary.BigEndian.Uint64(p.Body[1:])})
	default:
		s.drops.Add(drops.ProbeUnknown)
	}
}

// receiveAnswer takes the answer to a probe. Only by the route of the probe does it
// prove that another route works. Of the path it says in any case that what we send
// arrives: records of the peer may come from elsewhere, and be overtaken by those
// who repeat them.
func (s *Session) receiveAnswer(body []byte, by path.Route) {
	sent, known := s.pinger.Answer(body, by)
	if !known {
		s.drops.Add(drops.ProbeUnknown)
		return
	}
	if sent.Done {
		return
	}
	now, p := s.transport.now(), s.path.Load()
	onPath := p != nil && sent.Route == p.Route
	if onPath && by == p.Route {
		s.pinger.Measure(body, now-sent.At)
	}
	if onPath || by == sent.Route {
		s.tell(event{kind: probeAnswer, route: sent.Route, at: now, took: now - sent.At})
	}
}

// answer sends a record of the session's own by the way another has come.
func (s *Session) answer(by path.Route, via relay, body func(dst []byte) []byte) {
	p := s.path.Load()
	if p == nil {
		return
	}
	if by != p.Route {
		back := &boundPath{Route: by, out: lease{via, s}, slot: (p.slot + 1) % record.Slots}
		if via == nil {
			back.out = s.transport.host(by.Local)
		}
		p = back
	}
	s.sendOwnOn(p, s.keys.Sending(), Probe, body)
}

// tellForeign tells the owner of a valid record that has come by another way than
// the path, not of each.
func (s *Session) tellForeign(by path.Route, now time.Duration) {
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
