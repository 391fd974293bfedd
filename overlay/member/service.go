package member

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/sirupsen/logrus"

	"evio/overlay/contact"
	"evio/overlay/nodeid"
	"evio/overlay/signal"
)

var _ signal.Handler = (*Service)(nil)

// Announcer is the session that carries this engine's presence and messages.
type Announcer interface {
	SetExtension(ext []byte)
	Send(ctx context.Context, to string, payload []byte) error
	// Check finds out whether the session is still good, and makes a new one if not.
	Check()
}

// Service is the part of a Book that one signalling session feeds; it implements
// [signal.Handler].
type Service struct {
	book     *Book
	jid      string
	proof    []byte            // for jid, by the identity of this engine
	overlays map[string]source // by name of the overlay, or AnyOverlay
	log      *logrus.Entry

	// Guarded by book.mu.
	announcer  Announcer
	full       string                     // while connected
	members    map[source]map[string]bool // bare JIDs by what vouches for them
	online     map[string][]*resource     // by bare JID, newest last
	told       map[string]refusal         // what the log last said of a bare JID
	duplicates map[string]*duplicate      // by full JID: shows this engine's identity
	others     map[string]bool            // full JIDs of this account with another identity
	faults     map[string]error           // by room: why it cannot be used
	lists      map[source]*freshness

	strangers                        atomic.Uint64
	malformed, misaddressed, refused atomic.Uint64
}

// Service adds a signalling service of account jid that vouches for overlays. The
// map says for each of them, or for AnyOverlay, who is a member: "roster",
// "group:NAME" or "room:ROOM@SERVICE".
func (b *Book) Service(jid string, overlays map[string]string) (*Service, error) {
	s := &Service{
		book: b, jid: bare(jid), proof: proofFor(bare(jid), b.key),
		overlays: map[string]source{}, log: b.log.WithField("jid", bare(jid)),
		members: map[source]map[string]bool{}, online: map[string][]*resource{}, told: map[string]refusal{},
		duplicates: map[string]*duplicate{}, others: map[string]bool{}, faults: map[string]error{}, lists: map[source]*freshness{},
	}
	for name, text := range overlays {
		from, err := parseSource(text)
		if err != nil {
			return nil, fmt.Errorf("members of overlay %q: %w", name, err)
		}
		s.overlays[name] = from
		s.members[from] = map[string]bool{}
	}
	b.mu.Lock()
	for from := range s.members {
		s.recall(from)
	}
	b.services = append(b.services, s)
	b.mu.Unlock()
	return s, nil
}

// Rooms returns the rooms that the session has to join, sorted.
func (s *Service) Rooms() []string {
	var rooms []string
	for from := range s.members {
		if from.kind == roomSource {
			rooms = append(rooms, from.name)
		}
	}
	slices.Sort(rooms)
	return rooms
}

// Strangers returns how many presences and messages of accounts that belong to no
// overlay were dropped.
func (s *Service) Strangers() uint64 { return s.strangers.Load() }

// Drops counts, by cause, what else of the accounts in the lists was dropped.
func (s *Service) Drops() map[string]uint64 {
	return map[string]uint64{
		"malformed":    s.malformed.Load(),    // messages that are none of evio's
		"misaddressed": s.misaddressed.Load(), // messages for an overlay that is not here
		"refused":      s.refused.Load(),      // presences, such as with an identity that is not proved, or not the pinned one
	}
}

// Attach names the session that carries this service's presence and messages. It
// is called once, before the session runs.
func (s *Service) Attach(a Announcer) {
	s.book.mu.Lock()
	s.announcer = a
	s.book.mu.Unlock()
	s.book.announce()
}

// Up implements signal.Handler.
func (s *Service) Up(full string) {
	s.book.mu.Lock()
	s.full = full
	s.book.mu.Unlock()
	s.log.WithField("resource", full).Info("signalling: connected")
}

// Down implements signal.Handler. The members stay: an outage of the server takes
// nobody's membership before their list is too old, and only ends what needs a message.
func (s *Service) Down(err error) {
	s.log.WithError(err).Warn("signalling: connection lost, reconnecting; sessions that are up go on")
	s.book.mu.Lock()
	s.full = ""
	clear(s.online)
	clear(s.others)
	for full := range s.duplicates {
		s.dropDuplicateLocked(full)
	}
	s.book.mu.Unlock()
	s.book.notifyAll()
}

// Roster implements signal.Handler. Accounts that are no longer in it, or not in the
// group that counts, lose their membership. Their pins stay.
func (s *Service) Roster(items []signal.Item) {
	s.book.mu.Lock()
	var complete []source
	for _, from := range slices.Collect(maps.Keys(s.members)) {
		if from.kind == roomSource {
			continue
		}
		complete = append(complete, from)
		members := map[string]bool{}
		for _, it := range items {
			if from.has(it) {
				members[bare(it.JID)] = true
			}
		}
		s.replaceLocked(from, members)
	}
	s.book.mu.Unlock()
	for _, from := range complete {
		s.confirm(from)
	}
	s.book.notifyAll()
}

// Room implements signal.Handler. A room that cannot be reached keeps its members;
// one that can no longer be used has none.
func (s *Service) Room(room string, c signal.RoomChange) {
	from := source{roomSource, room}
	s.book.mu.Lock()
	known := s.members[from]
	if known == nil {
		s.book.mu.Unlock()
		return
	}
	next := map[string]bool{}
	if !c.Complete && !c.Closed {
		next = maps.Clone(known)
	}
	for _, jid := range c.Members {
		next[bare(jid)] = true
	}
	for _, jid := range c.Removed {
		delete(next, bare(jid))
	}
	delete(next, s.jid)
	s.replaceLocked(from, next)
	if delete(s.faults, room); c.Err != nil {
		s.faults[room] = c.Err
		s.emptyRoomLocked(room)
	}
	s.book.mu.Unlock()
	if c.Complete || c.Closed { // a room that cannot be used has no members, which is a list too
		s.confirm(from)
	}
	s.book.notifyAll()
}

// replaceLocked sets who belongs to a source, and forgets what those showed who no longer do.
func (s *Service) replaceLocked(from source, members map[string]bool) {
	before := s.members[from]
	s.members[from] = members
	for jid := range before {
		if members[jid] {
			continue
		}
		s.log.WithFields(logrus.Fields{"peer": jid, "from": from.String()}).Info("signalling: account is no longer a member, its sessions end")
		if !s.allowedLocked(jid) {
			delete(s.online, jid)
		}
	}
}

// allowedLocked reports whether an account belongs to any overlay of this service, by a
// list of whatever age: what it shows counts again once the list is confirmed.
func (s *Service) allowedLocked(jid string) bool {
	for _, members := range s.members {
		if members[jid] {
			return true
		}
	}
	return false
}

// vouchedLocked reports whether an account belongs to any overlay of this service now.
func (s *Service) vouchedLocked(jid string) bool {
	for from := range s.members {
		if s.vouchesLocked(from)[jid] {
			return true
		}
	}
	return false
}

// Message implements signal.Handler: it hands the payload to the overlay whose
// node it is addressed to, if the sender is a member of that overlay.
func (s *Service) Message(from string, payload []byte) {
	if isDuplicateMessage(payload) {
		s.duplicateMessage(from, payload)
		return
	}
	to, err := contact.To(payload)
	if err != nil {
		s.malformed.Add(1)
		s.log.WithField("peer", from).WithError(err).Debug("signalling: message dropped")
		return
	}
	name, sub := s.book.subscriptionOf(to)
	if sub == nil {
		s.misaddressed.Add(1)
		s.log.WithField("peer", from).Debug("signalling: message for an overlay that is not here")
		return
	}
	m, err := s.sender(name, from)
	if err != nil {
		s.strangers.Add(1)
		s.log.WithField("peer", from).WithError(err).Debug("signalling: message of a stranger dropped")
		return
	}
	sub.deliver(m, payload)
}

// sender returns the member that a message came from.
func (s *Service) sender(overlay, from string) (Member, error) {
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	jid := bare(from)
	vouching, served := s.sourceOf(overlay)
	switch {
	case s.book.stopped != "":
		return Member{}, errors.New("this engine has left its overlays")
	case !served || !slices.Contains(s.book.servingLocked(overlay), s):
		return Member{}, fmt.Errorf("this account does not serve overlay %q", overlay)
	case !s.vouchesLocked(vouching)[jid]:
		return Member{}, fmt.Errorf("no member by %v", vouching)
	}
	key, pinned := s.book.pins.get(jid)
	if !pinned {
		return Member{}, errors.New("its identity has not been announced yet")
	}
	return Member{
		JID: jid, Key: key, Node: nodeid.FromKey(key, overlay), Online: true, Membership: vouching.String(), full: from, via: s,
	}, nil
}

// membersLocked returns the members of the overlay that this service vouches for.
func (s *Service) membersLocked(overlay string) []Member {
	var list []Member
	from, _ := s.sourceOf(overlay)
	for jid := range s.vouchesLocked(from) {
		key, pinned := s.book.pins.get(jid)
		if !pinned {
			continue
		}
		m := Member{JID: jid, Key: key, Node: nodeid.FromKey(key, overlay), Membership: from.String(), via: s}
		for _, r := range s.online[jid] {
			if key.Equal(r.ext.Key) && slices.Contains(r.ext.Nodes, m.Node) {
				m.Online, m.full = true, r.full
			}
		}
		list = append(list, m)
	}
	return list
}
