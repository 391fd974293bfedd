package session

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"evio/datapath/drops"
	"evio/datapath/frame"
	"evio/datapath/record"
	"evio/datapath/session/connect"
	"evio/datapath/session/path"
	"evio/datapath/session/rekey"
	"evio/datapath/udp"
)

// reader takes in what comes by the socket, or by one connection to a TURN server. It
// belongs to one goroutine. What sessions keep for the opening of records has a lock of each
// session, since a session's records may come by several readers.
type reader struct {
	transport *Transport
	via       allocation // that the datagrams come through, nil: by the socket
	vector    vector
	last      arrival // of the last record of the vector of datagrams
}

// arrival is how a valid record has come.
type arrival struct {
	session *Session
	keys    *record.Keys
	local   netip.Addr
	remote  netip.AddrPort
	by      path.Route
}

// deliver takes a vector of datagrams from the socket's reader.
func (t *Transport) deliver(batch []udp.Datagram) { t.socketReader.deliver(batch) }

// deliverTURN takes a vector of datagrams that have come through an allocation.
func (t *Transport) deliverTURN(a allocation, batch []udp.Datagram) {
	r := t.turnReaders.Get().(*reader)
	defer t.turnReaders.Put(r)
	r.via = a
	r.deliver(batch)
	r.via = nil
}

func (r *reader) deliver(batch []udp.Datagram) {
	t := r.transport
	for i := range batch {
		switch d := &batch[i]; udp.Classify(d.Data) {
		case udp.STUN:
			if r.via != nil {
				t.mux.ReceiveTURN(r.via.Addr(), d.Remote, d.Data)
			} else {
				t.mux.Receive(*d)
			}
		case udp.Handshake:
			t.receiveHandshake(d.Data)
		case udp.Record:
			r.receiveRecord(d)
		default:
			t.drops.Add(drops.Unclassified)
		}
	}
	r.vector.turnTo(nil) // until the next call a session may end, or take other kinds of frames
	r.last = arrival{}
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

// receiveRecord opens a record and adds its frame to the vector. What does not open leaves the
// vector as it is, so that strangers cannot keep frames from being handed over together.
func (r *reader) receiveRecord(d *udp.Datagram) {
	t := r.transport
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
	plain, by, ok := r.open(s, d)
	if !ok {
		return
	}
	p, err := record.Parse(plain)
	if err != nil {
		s.drops.Add(drops.RecordPlain)
		return
	}
	switch kind := Kind(p.Kind); {
	case kind.limit() == 0 || p.Total == 0 || p.Total > kind.limit() || p.Partial && kind != Data:
		s.drops.Add(drops.RecordPlain)
	case kind == Probe:
		s.receiveProbe(p, by, r.via)
	case kind == Rekey:
		s.receiveRekey(p)
	default:
		r.vector.turnTo(s)
		r.receiveFrame(s, p)
	}
}

// receiveFrame adds a frame of a caller, or a slice of one, to the vector.
func (r *reader) receiveFrame(s *Session, p record.Plain) {
	switch {
	case p.Slice:
		r.rejoin(s, p)
	case p.Partial:
		f, ok := frame.Unfinished(p.Body)
		if !ok {
			s.drops.Add(drops.RecordPlain)
			return
		}
		r.vector.addData(f)
	case Kind(p.Kind) == Data:
		r.vector.addData(frame.Frame{Data: p.Body})
	default:
		r.vector.add(Kind(p.Kind), p.Body)
	}
}

// open returns the plaintext of a record and the route by which it has come. It counts a record
// that is not valid, and returns false.
func (r *reader) open(s *Session, d *udp.Datagram) (plain []byte, by path.Route, ok bool) {
	s.receiving.Lock()
	defer s.receiving.Unlock()
	plain, keys, err := s.keys.Open(d.Data)
	if keys == nil {
		s.drops.Add(drops.RecordKeys)
		return nil, path.Route{}, false
	}
	if err != nil {
		s.drops.Add(openCause(err))
		return nil, path.Route{}, false
	}
	if by, ok = r.arrived(s, keys, d); !ok {
		s.drops.Add(drops.RecordKeys)
	}
	return plain, by, ok
}

// arrived notes that a record is valid under keys, and returns the route by which it has come.
// It returns false if the session has ended or replaced the keys meanwhile. Records of one
// vector that come alike are noted once.
func (r *reader) arrived(s *Session, keys *record.Keys, d *udp.Datagram) (by path.Route, valid bool) {
	last := &r.last
	if last.session != s || last.keys != keys || last.local != d.Local || last.remote != d.Remote {
		by = r.routeOf(d)
		if !s.received(by, keys) {
			return by, false
		}
		*last = arrival{session: s, keys: keys, local: d.Local, remote: d.Remote, by: by}
	}
	s.traffic.rxRecords.Add(1)
	if p := s.path.Load(); p != nil && last.by != p.Route {
		s.traffic.offPath.Add(1)
	}
	return last.by, true
}

// routeOf returns the route by which a datagram has come.
func (r *reader) routeOf(d *udp.Datagram) path.Route {
	if r.via != nil {
		return path.Route{Local: r.via.Addr(), TURN: true, Remote: d.Remote}
	}
	return path.Route{Local: netip.AddrPortFrom(d.Local, uint16(r.transport.Port())), Remote: d.Remote}
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
	if by.TURN {
		s.turnHeard.Store(int64(now))
	}
	if p := s.path.Load(); p != nil && by != p.Route {
		s.notifyForeign(by, now)
	}
	return true
}

// rejoin adds the frame that a slice completes to the vector and hands it over
// at once, since the memory of the frame is needed again.
func (r *reader) rejoin(s *Session, p record.Plain) {
	s.receiving.Lock()
	defer s.receiving.Unlock()
	whole, err := s.rejoiner.Add(p, time.Now())
	switch {
	case errors.Is(err, record.ErrOverlap):
		s.drops.Add(drops.SliceOverlap)
	case errors.Is(err, record.ErrMismatch):
		s.drops.Add(drops.SliceMismatch)
	case err != nil:
		s.drops.Add(drops.SliceMalformed)
	case whole != nil:
		if kind := Kind(p.Kind); kind == Data {
			r.vector.addData(frame.Frame{Data: whole})
		} else {
			r.vector.add(kind, whole)
		}
		r.vector.flush()
		s.rejoiner.Recycle(whole)
	}
	evicted, expired := s.rejoiner.Lost()
	s.drops.AddN(drops.SliceEvicted, evicted)
	s.drops.AddN(drops.SliceExpired, expired)
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
