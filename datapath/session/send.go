package session

import (
	"fmt"

	"evio/datapath/drops"
	"evio/datapath/record"
)

// pathSlot is the slot of the one path that a session has.
const pathSlot = 0

// sendFrame sends a frame as one record or as slices.
func (s *Session) sendFrame(kind Kind, frame []byte) error {
	if len(frame) == 0 || len(frame) > kind.limit() {
		s.drops.Add(drops.SendSize)
		return fmt.Errorf("send %v of %d bytes: %w", kind, len(frame), ErrFrameSize)
	}
	buffer := s.transport.buffers.Get().(*record.Buffer)
	defer s.transport.buffers.Put(buffer)
	if len(frame) <= record.MaxWhole {
		return s.sendRecord(buffer, len(record.AppendWhole(buffer.Plain(), uint8(kind), frame)))
	}
	id := s.frameID.Add(1)
	for offset := 0; offset < len(frame); {
		var plain []byte
		plain, offset = record.AppendSlice(buffer.Plain(), uint8(kind), id, frame, offset)
		if err := s.sendRecord(buffer, len(plain)); err != nil {
			return err
		}
	}
	return nil
}

// sendRecord seals the first n bytes of the buffer's plaintext and sends them.
func (s *Session) sendRecord(buffer *record.Buffer, n int) error {
	p, keys := s.path.Load(), s.keys.Load()
	if p == nil || keys == nil {
		s.drops.Add(drops.SendPath)
		return ErrNotEstablished
	}
	sealed, err := keys.Send[pathSlot].Seal(buffer, n)
	if err != nil {
		s.drops.Add(drops.SendExhausted)
		s.end(ErrExhausted)
		return err
	}
	s.sendDatagram(p, sealed)
	s.traffic.txRecords.Add(1)
	return nil
}

// sendDatagram sends on a path. What the kernel refuses is counted and lost,
// like everything that happens on the way.
func (s *Session) sendDatagram(p *path, datagram []byte) {
	if err := s.transport.socket.Send(p.source, p.remote, datagram); err != nil {
		s.drops.Add(drops.SendSocket)
	}
}

// sendProbe asks the peer for a sign of life.
func (s *Session) sendProbe() {
	s.sendOwn(func(dst []byte) []byte { return s.pinger.request(dst, s.transport.now()) })
}

// sendGoodbye tells the peer that the session is over.
func (s *Session) sendGoodbye() {
	s.sendOwn(func(dst []byte) []byte { return append(dst, opGoodbye) })
}

// sendOwn sends a record of kind Probe. Why it could not, the counters tell.
func (s *Session) sendOwn(body func(dst []byte) []byte) {
	buffer := s.transport.buffers.Get().(*record.Buffer)
	defer s.transport.buffers.Put(buffer)
	plain := body(record.AppendWhole(buffer.Plain(), uint8(Probe), nil))
	_ = s.sendRecord(buffer, len(plain))
}
