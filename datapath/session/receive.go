package session

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"evio/datapath/drops"
	"evio/datapath/record"
	"evio/datapath/session/connect"
	"evio/datapath/session/path"
	"evio/datapath/session/rekey"
	"evio/datapath/udp"
)

// deliver takes a vector of datagrams from the socket's reader.
func (t *Transport) deliver(batch []udp.Datagram) {
	t.reading.Lock()
	defer t.reading.Unlock()
	for i := range batch {
		switch d := &batch[i]; udp.Classify(d.Data) {
		case udp.STUN:
			t.mux.Receive(*d)
		case udp.Handshake:
			t.receiveHandshake(d.Data)
		case udp.Record:
			t.receiveRecord(d, nil)
		default:
			t.drops.Add(drops.Unclassified)
		}
	}
	t.vector.flush()
}

// deliverTURN takes a datagram that has come through an allocation.
func (t *Transport) deliverTURN(r allocation, from netip.AddrPort, datagram []byte) {
	t.reading.Lock()
	defer t.reading.Unlock()
	switch udp.Classify(datagram) {
	case udp.STUN:
		t.mux.ReceiveTURN(r.Addr(), from, datagram)
	case udp.Handshake:
		t.receiveHandshake(datagram)
	case udp.Record:
		t.receiveRecord(&udp.Datagram{Local: r.Addr().Addr(), Remote: from, Data: datagram}, r)
	default:
		t.drops.Add(drops.Unclassified)
	}
	t.vector.flush()
}

// receiveHandshake passes a handshake datagram to the session that is
// connecting under its index. All others are dropped without an answer.
func (t *Transport) receiveHandshake(datagram []byte) {
	if len(datagram) <= connect.HandshakeHeader {
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
	switch genuine, taken := conn.Accept(datagram); {
	case !genuine:
		s.drops.Add(drops.HandshakeTag)
	case !taken:
		s.drops.Add(drops.HandshakeQueue)
	}
}

// receiveRecord opens a record and adds its frame to the vector. It has come by
// the socket, or through an allocation.
func (t *Transport) receiveRecord(d *udp.Datagram, via allocation) {
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
	plain, keys, err := s.keys.Open(d.Data)
	if keys == nil {
		s.drops.Add(drops.RecordKeys)
		return
	}
	if err != nil {
		s.drops.Add(openCause(err))
		return
	}
	by := t.routeOf(d, via)
	if !s.received(by, keys) {
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
		s.receiveProbe(p, by, via)
	case kind == Rekey:
		s.receiveRekey(p)
	case p.Slice:
		t.rejoin(s, p)
	default:
		t.vector.add(s, kind, p.Body)
	}
}

// routeOf returns the route by which a datagram has come.
func (t *Transport) routeOf(d *udp.Datagram, via allocation) path.Route {
	if via != nil {
		return path.Route{Local: via.Addr(), TURN: true, Remote: d.Remote}
	}
	return path.Route{Local: netip.AddrPortFrom(d.Local, uint16(t.Port())), Remote: d.Remote}
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

// received notes a record that is valid under keys and has come by a route. It
// returns false if the session has ended or replaced the keys meanwhile. A record that
// comes from elsewhere does not move the path, because anybody may have repeated the peer's
// datagram from there.
func (s *Session) received(by path.Route, keys *record.Keys) bool {
	select {
	case <-s.confirmed:
	default:
		if !s.confirm(keys) {
			return false
		}
	}
	if !s.confirmKeys(keys) {
		return false
	}
	now := s.transport.now()
	s.lastReceived.Store(int64(now))
	s.traffic.rxRecords.Add(1)
	if by.TURN {
		s.turnHeard.Store(int64(now))
	}
	if p := s.path.Load(); p != nil && by != p.Route {
		s.traffic.offPath.Add(1)
		s.notifyForeign(by, now)
	}
	return true
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

// receiveRekey passes a message to the rekeyer.
func (s *Session) receiveRekey(p record.Plain) {
	m, ok := rekey.Parse(p.Body)
	if p.Slice || !ok {
		s.drops.Add(drops.RecordPlain)
		return
	}
	r := s.rekeyer.Load()
	if r == nil {
		s.drops.Add(drops.RekeyStale)
		return
	}
	m.Body = bytes.Clone(m.Body)
	select {
	case r.inbox <- m:
	default:
		s.drops.Add(drops.RekeyQueue)
	}
}

// confirmKeys takes note that the peer has the keys of a valid record. It returns false if
// they are out of use.
func (s *Session) confirmKeys(keys *record.Keys) bool {
	switched, valid := s.keys.Confirm(keys, time.Now)
	if r := s.rekeyer.Load(); switched && r != nil {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
	return valid
}

// confirm takes note that a record was valid under keys while the session connects, so the
// peer has them too. The first such record establishes the session. confirm returns false if
// the keys are out of use.
func (s *Session) confirm(keys *record.Keys) bool {
	s.calls.Lock()
	defer s.calls.Unlock()
	s.mu.Lock()
	current := !s.ended && s.state == Connecting && s.keys.Sending() == keys
	if current {
		s.state, s.established = Established, time.Now()
	}
	s.mu.Unlock()
	if current {
		close(s.confirmed)
		s.options.Handler.Established(s)
	}
	return current
}
