package session

import (
	"errors"
	"fmt"
	"net"

	"evio/datapath/drops"
	"evio/datapath/record"
	"evio/datapath/session/path"
)

// sendFrame sends a frame as one record or as slices.
func (s *Session) sendFrame(kind Kind, frame []byte) error {
	if len(frame) == 0 || len(frame) > kind.limit() {
		s.drops.Add(drops.SendSize)
		return fmt.Errorf("send %v of %d bytes: %w", kind, len(frame), ErrFrameSize)
	}
	buffer := s.transport.buffers.Get().(*record.Buffer)
	defer s.transport.buffers.Put(buffer)
	limit := int(s.limit.Load())
	if kind == Control {
		limit = min(limit, s.full) // no larger than what the path is asked about
	}
	if len(frame) > sizeable && !s.large.Load() {
		s.large.Store(true)
	}
	if record.Fits(len(frame), limit) {
		return s.sendRecord(buffer, len(record.AppendWhole(buffer.Plain(), uint8(kind), frame)))
	}
	id := s.frameID.Add(1)
	for offset := 0; offset < len(frame); {
		var plain []byte
		plain, offset = record.AppendSlice(buffer.Plain(), uint8(kind), id, frame, offset, limit)
		if err := s.sendRecord(buffer, len(plain)); err != nil {
			return err
		}
	}
	return nil
}

// sendRecord seals the first n bytes of the buffer's plaintext and sends them.
func (s *Session) sendRecord(buffer *record.Buffer, n int) error {
	return s.sendUnder(s.keys.Sending(), buffer, n)
}

// sendUnder is sendRecord with keys that are not always the current ones.
func (s *Session) sendUnder(keys *record.Keys, buffer *record.Buffer, n int) error {
	return s.sendOn(s.path.Load(), keys, buffer, n)
}

// sendOn seals under the given keys, in the path's slot, and sends on the path.
func (s *Session) sendOn(p *boundPath, keys *record.Keys, buffer *record.Buffer, n int) error {
	if p == nil || keys == nil {
		s.drops.Add(drops.SendPath)
		return ErrNotEstablished
	}
	sealed, err := keys.Send[p.slot].Seal(buffer, n)
	if err != nil {
		s.drops.Add(drops.SendExhausted)
		s.end(ErrExhausted)
		return err
	}
	s.sendDatagram(p, sealed)
	s.traffic.txRecords.Add(1)
	return nil
}

// sendDatagram sends on a path. What the kernel or a relay refuses is counted and lost,
// like everything that happens on the way.
func (s *Session) sendDatagram(p *boundPath, datagram []byte) {
	err := p.out.Send(p.Remote, datagram)
	if err == nil {
		return
	}
	switch current := s.path.Load(); {
	case errors.Is(err, net.ErrClosed), current != nil && p.Route != current.Route:
		s.drops.Add(drops.SendPath) // a path that has ended, or a route on trial: nothing of a container was in it
	case p.TURN:
		s.drops.Add(drops.SendRelay)
	default:
		s.drops.Add(drops.SendSocket)
	}
}

// sendProbe asks the peer for a sign of life.
func (s *Session) sendProbe() { s.sendProbeUnder(s.keys.Sending()) }

// sendProbeUnder asks for one, with keys that the peer is to confirm.
func (s *Session) sendProbeUnder(keys *record.Keys) {
	if p := s.path.Load(); p != nil {
		s.challenge(p, keys)
	}
}

// sendGoodbye tells the peer that the session is over.
func (s *Session) sendGoodbye() {
	s.sendOwn(s.keys.Sending(), Probe, func(dst []byte) []byte { return append(dst, path.OpGoodbye) })
}

// sendOwn sends a record of the session's own. Why it could not, the counters tell.
func (s *Session) sendOwn(keys *record.Keys, kind Kind, body func(dst []byte) []byte) {
	s.sendOwnOn(s.path.Load(), keys, kind, body)
}

// challenge asks for an answer on a path. It has to come by the same route.
func (s *Session) challenge(p *boundPath, keys *record.Keys) {
	s.sendOwnOn(p, keys, Probe, func(dst []byte) []byte {
		return s.pinger.Request(dst, s.transport.now(), p.Route)
	})
}

func (s *Session) sendOwnOn(p *boundPath, keys *record.Keys, kind Kind, body func(dst []byte) []byte) {
	buffer := s.transport.buffers.Get().(*record.Buffer)
	defer s.transport.buffers.Put(buffer)
	plain := body(record.AppendWhole(buffer.Plain(), uint8(kind), nil))
	_ = s.sendOn(p, keys, buffer, len(plain))
}

// askSize asks whether a record of a size arrives, and comes back.
func (s *Session) askSize(token uint64, size int) {
	s.sendOwn(s.keys.Sending(), Probe, func(dst []byte) []byte {
		return path.AppendPadded(dst, path.OpSizeRequest, token, size-record.Overhead-len(dst))
	})
}
