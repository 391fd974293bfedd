package session

import (
	"encoding/binary"
	"time"

	"evio/datapath/drops"
	"evio/datapath/record"
	"evio/datapath/session/path"
)

// foreignGap is the time between two events about records that come by the same route.
const foreignGap = 100 * time.Millisecond

// event is what the reader reports to the owner of an established session.
type event struct {
	kind       eventKind
	route      path.Route
	at         time.Duration
	took       time.Duration // probeAnswer: since its request
	sequence   uint32        // peerCandidates, candidatesReceived
	candidates []path.Candidate
	token      uint64 // sizeAnswer
}

type eventKind uint8

const (
	foreignRecord      eventKind = iota // a valid record came by another route
	probeAnswer                         // an answer came by the route of its request
	peerCandidates                      // the peer has sent new ones
	candidatesReceived                  // the peer has ours
	sizeAnswer                          // a large probe was answered
)

// maxEvents is how many events wait: the answers to one search.
const maxEvents = 2 * path.MaxPairs

// receiveProbe takes a record of the session's own. The answer to a request goes back by the
// route by which the request has come, and so shows that the route works in both
// directions. It goes by the path as well: someone who repeats a request from elsewhere,
// faster than the request itself arrives, cannot divert the answer.
func (s *Session) receiveProbe(p record.Plain, by path.Route, via allocation) {
	if p.Slice { // its body may be empty
		s.drops.Add(drops.RecordPlain)
		return
	}
	operation := p.Body[0]
	switch {
	case operation == path.OpRequest && len(p.Body) == path.RequestSize:
		body := func(dst []byte) []byte { return path.AppendAnswer(dst, p.Body, by.Remote) }
		s.answer(by, via, body)
		if current := s.path.Load(); current != nil && current.Route != by {
			s.sendOwn(Probe, body)
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
		if s.notify(event{kind: peerCandidates, sequence: sequence, candidates: candidates}) {
			s.answer(by, via, func(dst []byte) []byte { return path.AppendReceived(dst, sequence) })
		}
	case operation == path.OpReceived && len(p.Body) == path.SequenceSize:
		s.notify(event{kind: candidatesReceived, sequence: binary.BigEndian.Uint32(p.Body[1:])})
	case operation == path.OpSizeRequest && len(p.Body) > path.RequestSize:
		token := binary.BigEndian.Uint64(p.Body[1:])
		// By the own path and not by the request's route: it is the path that has to take the size.
		s.sendOwn(Probe, func(dst []byte) []byte { return path.AppendPadded(dst, path.OpSizeAnswer, token, len(p.Body)) })
	case operation == path.OpNarrow && len(p.Body) == 1:
		s.large.Store(true) // it is worth asking
	case operation == path.OpSizeAnswer && len(p.Body) > path.RequestSize:
		s.notify(event{kind: sizeAnswer, token: binary.BigEndian.Uint64(p.Body[1:])})
	default:
		s.drops.Add(drops.ProbeUnknown)
	}
}

// receiveAnswer takes the answer to a probe. It proves that another route works only if it
// comes by that route. An answer to a probe on the path counts wherever it comes from, as it
// shows that what this end sends arrives: the peer's records may come by another route, and
// someone may repeat them faster.
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
		s.notify(event{kind: probeAnswer, route: sent.Route, at: now, took: now - sent.At})
	}
}

// answer sends a record of the session's own by the route by which another has come.
func (s *Session) answer(by path.Route, via allocation, body func(dst []byte) []byte) {
	p := s.path.Load()
	if p == nil {
		return
	}
	if by != p.Route {
		back := &boundPath{Route: by, out: limitedAllocation{via, s}, slot: (p.slot + 1) % record.Slots}
		if via == nil {
			back.out = s.transport.host(by.Local)
		}
		p = back
	}
	s.sendOwnOn(p, s.keys.Sending(), Probe, body)
}

// notifyForeign reports to the owner that valid records come by another route than the path.
// It does not report each of them.
func (s *Session) notifyForeign(by path.Route, now time.Duration) {
	if s.foreign.route == by && now-s.foreign.at < foreignGap {
		return
	}
	s.foreign = event{kind: foreignRecord, route: by, at: now}
	s.notify(s.foreign)
}

// notify hands an event to the owner, if there is room.
func (s *Session) notify(e event) bool {
	select {
	case s.events <- e:
		return true
	default:
		s.limited()
		return false
	}
}

func (s *Session) limited() { s.drops.Add(drops.PathLimit) }
