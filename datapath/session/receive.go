package session

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"evio/datapath/drops"
	"evio/datapath/record"
	"evio/datapath/udp"
)

// deliver takes a vector of datagrams from the socket's reader.
func (t *Transport) deliver(batch []udp.Datagram) {
	for i := range batch {
		switch d := &batch[i]; udp.Classify(d.Data) {
		case udp.STUN:
			t.mux.Receive(*d)
		case udp.Handshake:
			t.receiveHandshake(d.Data)
		case udp.Record:
			t.receiveRecord(d)
		default:
			t.drops.Add(drops.Unclassified)
		}
	}
	t.vector.flush()
}

// receiveHandshake passes a handshake datagram to the session that is
// connecting under its index. All others are dropped without an answer.
func (t *Transport) receiveHandshake(datagram []byte) {
	if len(datagram) <= handshakeHeader {
		t.drops.Add(drops.HandshakeShort)
		return
	}
	s := t.session(binary.BigEndian.Uint32(datagram[1:]))
	if s == nil {
		t.drops.Add(drops.HandshakeIndex)
		return
	}
	conn := s.handshake.Load()
	if conn == nil {
		s.drops.Add(drops.HandshakeIndex)
		return
	}
	switch genuine, taken := conn.accept(datagram); {
	case !genuine:
		s.drops.Add(drops.HandshakeTag)
	case !taken:
		s.drops.Add(drops.HandshakeQueue)
	}
}

// receiveRecord opens a record and adds its frame to the vector.
func (t *Transport) receiveRecord(d *udp.Datagram) {
	index, ok := record.Index(d.Data)
	if !ok {
		t.drops.Add(drops.RecordShort)
		return
	}
	s := t.session(index)
	if s == nil {
		t.drops.Add(drops.RecordIndex)
		return
	}
	keys := s.keys.Load()
	if keys == nil {
		s.drops.Add(drops.RecordKeys)
		return
	}
	plain, err := keys.Open(d.Data)
	if err != nil {
		s.drops.Add(openCause(err))
		return
	}
	if !s.received(d, keys) {
		s.drops.Add(drops.RecordKeys)
		return
	}
	p, err := record.Parse(plain)
	if err != nil {
		s.drops.Add(drops.RecordPlain)
		return
	}
	switch kind := Kind(p.Kind); {
	case kind.limit() == 0 || p.Total == 0 || p.Total > kind.limit():
		s.drops.Add(drops.RecordPlain)
	case kind == Probe:
		s.receiveProbe(p, d.Remote)
	case p.Slice:
		t.rejoin(s, p)
	default:
		t.vector.add(s, kind, p.Body)
	}
}

func openCause(err error) drops.Cause {
	switch {
	case errors.Is(err, record.ErrReplay):
		return drops.RecordReplayed
	case errors.Is(err, record.ErrSlot):
		return drops.RecordSlot
	default:
		return drops.RecordForged
	}
}

// received notes a record that is valid under keys. It returns false if the
// session has ended or replaced them meanwhile. The path is not moved by a record that comes from
// elsewhere: its sender may be whoever repeats the peer's datagrams fastest.
func (s *Session) received(d *udp.Datagram, keys *record.Keys) bool {
	select {
	case <-s.confirmed:
	default:
		if !s.confirm(keys) {
			return false
		}
	}
	s.lastReceived.Store(int64(s.transport.now()))
	s.traffic.rxRecords.Add(1)
	if p := s.path.Load(); p != nil && (d.Remote != p.remote || d.Local != p.source.Addr) {
		s.traffic.offPath.Add(1)
	}
	return true
}

func (s *Session) receiveProbe(p record.Plain, from netip.AddrPort) {
	switch {
	case p.Slice:
		s.drops.Add(drops.RecordPlain)
	case p.Body[0] == opRequest && len(p.Body) == requestSize:
		s.sendOwn(func(dst []byte) []byte { return appendAnswer(dst, p.Body, from) })
	case p.Body[0] == opAnswer && s.pinger.answer(p.Body, s.transport.now()):
	case p.Body[0] == opGoodbye:
		s.end(ErrPeerClosed)
	default:
		s.drops.Add(drops.ProbeUnknown)
	}
}

// rejoin adds the frame that a slice completes to the vector and hands it over
// at once, since the memory of the frame is needed again.
func (t *Transport) rejoin(s *Session, p record.Plain) {
	frame, err := s.rejoiner.Add(p, time.Now())
	switch {
	case errors.Is(err, record.ErrOverlap):
		s.drops.Add(drops.SliceOverlap)
	case errors.Is(err, record.ErrMismatch):
		s.drops.Add(drops.SliceMismatch)
	case err != nil:
		s.drops.Add(drops.SliceMalformed)
	case frame != nil:
		t.vector.add(s, Kind(p.Kind), frame)
		t.vector.flush()
		s.rejoiner.Recycle(frame)
	}
	evicted, expired := s.rejoiner.Lost()
	s.drops.AddN(drops.SliceEvicted, evicted)
	s.drops.AddN(drops.SliceExpired, expired)
}

// vector gathers frames of one session and kind, so that the handler is called
// once for all of them. It belongs to the reader.
type vector struct {
	session *Session
	kind    Kind
	frames  [][]byte
}

func (v *vector) add(s *Session, kind Kind, frame []byte) {
	if v.session != s || v.kind != kind {
		v.flush()
		v.session, v.kind = s, kind
	}
	v.frames = append(v.frames, frame)
}

func (v *vector) flush() {
	if len(v.frames) == 0 {
		return
	}
	v.session.hand(v.kind, v.frames)
	clear(v.frames)
	v.frames, v.session = v.frames[:0], nil
}

// hand gives frames to the handler, unless Closed has been called.
func (s *Session) hand(kind Kind, frames [][]byte) {
	var bytes uint64
	for _, f := range frames {
		bytes += uint64(len(f))
	}
	s.traffic.rxFrames.Add(uint64(len(frames)))
	s.traffic.rxBytes.Add(bytes)
	s.calls.Lock()
	defer s.calls.Unlock()
	if s.ended {
		s.drops.AddN(drops.RecordClosed, uint64(len(frames)))
		return
	}
	s.options.Handler.Receive(s, kind, frames)
}
