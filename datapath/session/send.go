package session

import (
	"errors"
	"fmt"
	"net"

	"evio/datapath/drops"
	"evio/datapath/frame"
	"evio/datapath/record"
	"evio/datapath/session/path"
	"evio/datapath/session/rekey"
	"evio/datapath/udp"
)

// Send protects and sends frames of one kind, in which nothing is unfinished. A frame that does
// not fit one record is cut into slices. Frames that cannot be sent are counted; the error
// is that of the first of them. Any number of goroutines may send at once.
func (s *Session) Send(kind Kind, frames [][]byte) error {
	if kind.own() || kind.limit() == 0 {
		return fmt.Errorf("send %v: %w", kind, ErrKind)
	}
	if s.State() != Established {
		s.drops.AddN(drops.SendPath, uint64(len(frames)))
		return ErrNotEstablished
	}
	o := s.outbox(kind)
	defer o.recycle()
	for i := range frames {
		o.add(frame.Frame{Data: frames[i]})
	}
	return o.close()
}

// SendFrames is Send for Ethernet frames as the kernel hands them over. Super-frames are cut
// into their segments, and each segment travels in a record of its own. Frames are counted as
// segments. Checksums may be finished in the bytes of frames, so that these cannot be sent again.
func (s *Session) SendFrames(frames []frame.Frame) error {
	if s.State() != Established {
		for i := range frames {
			s.drops.AddN(drops.SendPath, uint64(frames[i].Segments()))
		}
		return ErrNotEstablished
	}
	o := s.outbox(Data)
	defer o.recycle()
	for i := range frames {
		o.add(frames[i])
	}
	return o.close()
}

// batch is a batch of records, with what the socket takes of them.
type batch struct {
	record.Batch
	runs []udp.Run
}

// sendBatch seals the records of a batch in the path's slot and sends them on the path.
func (s *Session) sendBatch(p *boundPath, keys *record.Keys, b *batch) error {
	n := uint64(b.Len())
	if p == nil || keys == nil {
		s.drops.AddN(drops.SendPath, n)
		return ErrNotEstablished
	}
	if err := keys.Send[p.slot].Seal(&b.Batch); err != nil {
		s.drops.AddN(drops.SendExhausted, n)
		s.end(ErrExhausted)
		return err
	}
	b.runs = b.runs[:0]
	for _, r := range b.Runs() {
		b.runs = append(b.runs, udp.Run(r))
	}
	s.sendRuns(p, b.runs, n)
	s.traffic.txRecords.Add(n)
	return nil
}

// sendRuns sends n datagrams on a path. What is refused is counted and lost, like whatever gets
// lost on the path.
func (s *Session) sendRuns(p *boundPath, runs []udp.Run, n uint64) {
	if sent, err := p.out.SendRuns(p.Remote, runs); err != nil {
		s.drops.AddN(s.unsent(p, err), n-uint64(sent))
	}
}

// unsent returns the cause for which the kernel or a TURN server has refused datagrams.
func (s *Session) unsent(p *boundPath, err error) drops.Cause {
	switch current := s.path.Load(); {
	case errors.Is(err, net.ErrClosed), current != nil && p.Route != current.Route:
		return drops.SendPath // a path that has ended, or a route on trial: no frame of a container was in it
	case p.TURN:
		return drops.SendRelay
	}
	return drops.SendSocket
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
	b := s.transport.batches.Get().(*batch)
	defer s.transport.batches.Put(b)
	b.Reset(record.MaxSize)
	b.Add(len(body(record.AppendWhole(b.Plain(), uint8(kind), nil))))
	_ = s.sendBatch(p, keys, b) // counted
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
