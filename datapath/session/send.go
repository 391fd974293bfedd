package session

import (
	"errors"
	"fmt"
	"net"

	"evio/datapath/drops"
	"evio/datapath/record"
	"evio/datapath/session/path"
	"evio/datapath/session/rekey"
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
		return s.sendRecord(s.path.Load(), s.keys.Sending(), buffer, len(record.AppendWhole(buffer.Plain(), uint8(kind), frame)))
	}
	id := s.frameID.Add(1)
	for offset := 0; offset < len(frame); {
		var plain []byte
		plain, offset = record.AppendSlice(buffer.Plain(), uint8(kind), id, frame, offset, limit)
		if err := s.sendRecord(s.path.Load(), s.keys.Sending(), buffer, len(plain)); err != nil {
			return err
		}
	}
	return nil
}

// sendRecord seals the first n bytes of the buffer's plaintext, in the path's slot, and sends
// them on the path.
func (s *Session) sendRecord(p *boundPath, keys *record.Keys, buffer *record.Buffer, n int) error {
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

// sendDatagram sends on a path. What the kernel or a TURN server refuses is counted and lost,
// like whatever gets lost on the path.
func (s *Session) sendDatagram(p *boundPath, datagram []byte) {
	err := p.out.Send(p.Remote, datagram)
	if err == nil {
		return
	}
	switch current := s.path.Load(); {
	case errors.Is(err, net.ErrClosed), current != nil && p.Route != current.Route:
		s.drops.Add(drops.SendPath) // a path that has ended, or a route on trial: no frame of a container was in it
	case p.TURN:
		s.drops.Add(drops.SendRelay)
	default:
		s.drops.Add(drops.SendSocket)
	}
}

// sendProbe asks the peer for an answer on the path, under keys that it may have to confirm.
func (s *Session) sendProbe(keys *record.Keys) {
	if p := s.path.Load(); p != nil {
		s.challenge(p, keys)
	}
}

// sendGoodbye says to the peer that the session is over.
func (s *Session) sendGoodbye() {
	s.sendOwn(Probe, func(dst []byte) []byte { return append(dst, path.OpGoodbye) })
}

// sendOwn sends a record of the session's own on the path, under the current keys. Failures
// are counted.
func (s *Session) sendOwn(kind Kind, body func(dst []byte) []byte) {
	s.sendOwnOn(s.path.Load(), s.keys.Sending(), kind, body)
}

// challenge asks for an answer on a path. It has to come by the same route.
func (s *Session) challenge(p *boundPath, keys *record.Keys) {
	s.sendOwnOn(p, keys, Probe, func(dst []byte) []byte {
		return s.pinger.Request(dst, s.transport.now(), p.Route)
	})
}

// sendOwnOn sends a record of the session's own on any path and under any keys.
func (s *Session) sendOwnOn(p *boundPath, keys *record.Keys, kind Kind, body func(dst []byte) []byte) {
	buffer := s.transport.buffers.Get().(*record.Buffer)
	defer s.transport.buffers.Put(buffer)
	plain := body(record.AppendWhole(buffer.Plain(), uint8(kind), nil))
	_ = s.sendRecord(p, keys, buffer, len(plain)) // counted
}

// askSize asks whether a record of a size arrives, and comes back.
func (s *Session) askSize(token uint64, size int) {
	s.sendOwn(Probe, func(dst []byte) []byte {
		return path.AppendPadded(dst, path.OpSizeRequest, token, size-record.Overhead-len(dst))
	})
}

// sendRekey sends a message about a rekey.
func (s *Session) sendRekey(m rekey.Message) {
	if rekey.HeaderSize+len(m.Body) > Rekey.limit() {
		s.drops.Add(drops.SendSize)
		return
	}
	s.sendOwn(Rekey, m.Append)
}
