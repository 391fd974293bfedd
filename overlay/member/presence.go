package member

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// maxResources is how many resources of one account are remembered. An engine
// uses one; a few more bridge a reconnect whose old resource still lingers.
const maxResources = 4

// The log says of an account that is refused at most one thing in tellPause, and the
// same thing again only after tellAgain, whether or not it was in a list all the time. Of
// more than maxTold accounts in tellAgain it says nothing.
const (
	tellPause = 10 * time.Second
	tellAgain = time.Hour
	maxTold   = 1024
)

// resource is one online resource of an account, as the roster's presence or a room
// shows it. The identity in it may be another than the pinned one.
type resource struct {
	full string
	room string // or "", for the roster's presence
	ext  extension
}

// refusal is what the log said last of an account.
type refusal struct {
	text string
	at   time.Time
}

// Presence implements signal.Handler.
func (s *Service) Presence(from string, available bool, ext []byte) {
	s.presence("", from, available, ext)
}

// Occupant implements signal.Handler.
func (s *Service) Occupant(room, from string, available bool, ext []byte) {
	s.presence(room, from, available, ext)
}

func (s *Service) presence(room, from string, available bool, ext []byte) {
	jid := bare(from)
	if jid == s.jid {
		s.ownAccount(from, available, ext)
		return
	}
	s.book.mu.Lock()
	allowed := s.allowedLocked(jid)
	if allowed && !available {
		s.dropLocked(jid, from, room)
		if !s.onlineLocked(jid, from) {
			s.dropDuplicateLocked(from)
		}
	}
	s.book.mu.Unlock()
	switch {
	case !allowed:
		s.strangers.Add(1)
		return
	case available && ext == nil:
		return // some other client of a person
	case available:
		s.shows(jid, room, from, ext)
	}
	s.book.notifyAll()
}

// shows takes the extension of an account that may be heard.
func (s *Service) shows(jid, room, from string, ext []byte) {
	e, err := parseExtension(ext)
	if err == nil {
		err = e.compatible()
	}
	if err == nil {
		err = e.proves(jid)
	}
	remember := err == nil
	if err == nil {
		err = s.admit(jid, from, e)
		remember = !errors.Is(err, errOwnIdentity)
	}
	if err != nil {
		s.refused.Add(1)
	}
	s.book.mu.Lock()
	s.dropLocked(jid, from, room)
	if remember { // also while it is refused: an operator may accept it
		list := append(s.online[jid], &resource{full: from, room: room, ext: e})
		s.online[jid] = list[max(0, len(list)-maxResources):]
	}
	news := err != nil && s.newsLocked(jid, err.Error())
	s.book.mu.Unlock()
	if news {
		s.log.WithField("peer", jid).WithError(err).Warn("signalling: member refused")
	}
}

var errOwnIdentity = errors.New("shows this engine's own identity")

// admit checks the identity of an account against its pin.
func (s *Service) admit(jid, from string, e extension) error {
	if !e.Key.Equal(s.book.self) {
		s.book.mu.Lock()
		s.dropDuplicateLocked(from)
		s.book.mu.Unlock()
		return s.book.pins.check(jid, e.Key)
	}
	s.suspectDuplicate(from)
	return fmt.Errorf("%s %w: unless both accounts are this engine's, one of the two is a copy, remove identity.pem from the copy's state directory", jid, errOwnIdentity)
}

// newsLocked reports whether the log should say this of an account.
func (s *Service) newsLocked(jid, text string) bool {
	now, last := time.Now(), s.told[jid]
	silent := now.Sub(last.at)
	if silent < tellPause || silent < tellAgain && text == last.text {
		return false
	}
	if len(s.told) >= maxTold {
		maps.DeleteFunc(s.told, func(_ string, r refusal) bool { return now.Sub(r.at) >= tellAgain })
	}
	if _, known := s.told[jid]; !known && len(s.told) >= maxTold {
		return false
	}
	s.told[jid] = refusal{text, now}
	return true
}

func (s *Service) dropLocked(jid, full, room string) {
	list := slices.DeleteFunc(s.online[jid], func(r *resource) bool { return r.full == full && r.room == room })
	if len(list) == 0 {
		delete(s.online, jid)
		return
	}
	s.online[jid] = list
}

func (s *Service) onlineLocked(jid, full string) bool {
	return slices.ContainsFunc(s.online[jid], func(r *resource) bool { return r.full == full })
}

// emptyRoomLocked forgets who was online in a room.
func (s *Service) emptyRoomLocked(room string) {
	for jid, list := range s.online {
		for _, r := range slices.Clone(list) {
			if r.room == room {
				s.dropLocked(jid, r.full, room)
			}
		}
	}
}

// ownAccount takes the presence of another connection of our own account: another
// client of a person, a leftover of this engine's last connection, a copy of this
// engine, or another engine.
func (s *Service) ownAccount(full string, available bool, ext []byte) {
	e, err := parseExtension(ext)
	if err == nil {
		err = e.proves(s.jid)
	}
	if available && ext != nil && err != nil {
		s.refused.Add(1)
	}
	engine := available && ext != nil && err == nil
	copied := engine && e.Key.Equal(s.book.self)
	other := engine && !copied
	s.book.mu.Lock()
	if !copied {
		s.dropDuplicateLocked(full)
	}
	known := s.others[full]
	delete(s.others, full)
	news := other && !known && len(s.others) < maxDuplicates
	if other && (known || news) {
		s.others[full] = true
	}
	s.book.mu.Unlock()
	if news {
		s.log.WithField("resource", full).Error("signalling: another engine is logged in with this account: members hear only the one they knew first, give each engine an account of its own")
	}
	if copied {
		s.suspectDuplicate(full)
	}
}
