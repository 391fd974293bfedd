package signal

import (
	"bytes"
	"maps"
	"slices"
	"time"
)

// rooms are the session's rooms. The reader drives them. What is due without a stanza
// is reached by a ping whose answer wakes the reader, so that a Handler is called by
// one goroutine only.
type rooms struct {
	byJID map[string]*room
	wake  *time.Timer // the writer pings when it fires
}

func newRooms(jids []string, own string, refresh time.Duration) rooms {
	r := rooms{byJID: map[string]*room{}, wake: time.NewTimer(time.Hour)}
	r.wake.Stop()
	for _, jid := range jids {
		r.byJID[jid] = newRoom(jid, own, refresh)
	}
	return r
}

// of returns the room that an address belongs to, or nil.
func (r rooms) of(jid string) *room { return r.byJID[bareOf(jid)] }

// tick does what is due and sets the timer for the next time.
func (s *session) tick() {
	now := time.Now()
	s.tickRoster(now)
	var next time.Time
	if s.fetching.every > 0 {
		next = s.fetching.due
	}
	for _, jid := range slices.Sorted(maps.Keys(s.rooms.byJID)) {
		r := s.rooms.byJID[jid]
		s.enact(r, r.tick(now), nil)
		if next.IsZero() || r.due.Before(next) {
			next = r.due
		}
	}
	if !next.IsZero() {
		s.rooms.wake.Reset(max(0, next.Sub(now)))
	}
}

// enact does what a room asks for. extension is that of the presence which caused it.
func (s *session) enact(r *room, effects []roomEffect, extension []byte) {
	for _, e := range effects {
		switch {
		case e.join:
			r.shown = s.client.ownExtension()
			s.reply(joinXML(r.occupantJID(), r.shown))
		case e.stanza != nil:
			s.reply(e.stanza, nil)
		case e.change != nil:
			s.tellRoom(r, *e.change)
		default:
			s.client.handler.Occupant(r.jid, e.occupant, e.available, extension)
		}
	}
	s.noteRoom(r)
}

// how says whether we have the list of the members of a room that we are in.
func (r *room) how() string {
	if r.complete {
		return ""
	}
	return ": it does not give its list, so they are whom it has shown"
}

// tellRoom reports a change, and logs once why a room cannot be used.
func (s *session) tellRoom(r *room, c RoomChange) {
	if c.Err != nil && s.client.newsOfRoom(r.jid, c.Err.Error()) {
		s.client.log.WithField("room", r.jid).WithError(c.Err).Warn("XMPP room cannot be used")
	}
	if r.step == roomStaying && c.Err == nil {
		if how := r.how(); s.client.newsOfRoom(r.jid, how) {
			s.client.log.WithField("room", r.jid).Infof("XMPP room joined, %d members%s", len(r.members), how)
		}
	}
	s.client.handler.Room(r.jid, c)
}

// noteRoom lets the writer know where our presence goes when it changes. What was
// announced while we joined is announced again.
func (s *session) noteRoom(r *room) {
	s.mu.Lock()
	was := s.occupied[r.jid]
	if r.in {
		s.occupied[r.jid] = r.occupantJID()
	} else {
		delete(s.occupied, r.jid)
	}
	s.mu.Unlock()
	if r.in && was == "" && !bytes.Equal(r.shown, s.client.ownExtension()) {
		select {
		case s.client.announce <- struct{}{}:
		default: // an announcement is due already
		}
	}
}

// roomPresences are our presence for the rooms that we are in.
func (s *session) roomPresences() (all [][]byte, err error) {
	s.mu.Lock()
	to := slices.Sorted(maps.Values(s.occupied))
	s.mu.Unlock()
	for _, jid := range to {
		b, err := roomPresenceXML(jid, s.client.ownExtension())
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}
