package member

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"evio/overlay/contact"
	"evio/overlay/nodeid"
	"evio/overlay/signal"
)

// maxResources is how many resources of one account are remembered. An engine
// uses one; a few more bridge a reconnect whose old resource still lingers.
const maxResources = 4

var _ signal.Handler = (*Service)(nil)

// Announcer is the session that carries this engine's presence and messages.
type Announcer interface {
	SetExtension(ext []byte)
	Send(ctx context.Context, to string, payload []byte) error
}

// tellAgain is how long the log says nothing more of an account that is refused.
const tellAgain = 10 * time.Second

// Service is the part of a Book that one signalling session feeds; it implements
// [signal.Handler].
type Service struct {
	book  *Book
	jid   string
	names []string
	log   *logrus.Entry

	// Guarded by book.mu.
	announcer Announcer
	allowed   map[string]bool        // bare JIDs of the roster
	online    map[string][]*resource // by bare JID, newest last
	told      map[string]time.Time   // when the log last told of a bare JID that was refused
	twin      string                 // other full JID of our own account, told once

	strangers atomic.Uint64
}

// Strangers returns how many presences and messages of accounts outside of the
// roster were dropped.
func (s *Service) Strangers() uint64 { return s.strangers.Load() }

// resource is one online resource of an account.
type resource struct {
	full string
	ext  extension
}

// Service adds a signalling service that vouches for the named overlays (or
// AnyOverlay) with the roster of account jid.
func (b *Book) Service(jid string, overlays []string) *Service {
	s := &Service{
		book: b, jid: bare(jid), names: slices.Clone(overlays), log: b.log.WithField("jid", bare(jid)),
		allowed: map[string]bool{}, online: map[string][]*resource{}, told: map[string]time.Time{},
	}
	b.mu.Lock()
	b.services = append(b.services, s)
	b.mu.Unlock()
	return s
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
	s.log.WithField("resource", full).Info("signalling: connected")
}

// Down implements signal.Handler. The roster stays: an outage of the server takes
// nobody's membership, and only ends what needs a message.
func (s *Service) Down(err error) {
	s.log.WithError(err).Warn("signalling: connection lost, reconnecting; sessions that are up go on")
	s.book.mu.Lock()
	clear(s.online)
	s.book.mu.Unlock()
	s.book.notifyAll()
}

// Roster implements signal.Handler. Accounts that are no longer in it lose their
// membership and their pin.
func (s *Service) Roster(items []signal.Item) {
	allowed := map[string]bool{}
	for _, it := range items {
		if it.Subscription == "both" || it.Subscription == "to" {
			allowed[bare(it.JID)] = true
		}
	}
	s.book.mu.Lock()
	var removed []string
	for jid := range s.allowed {
		if !allowed[jid] {
			removed = append(removed, jid)
			delete(s.online, jid)
			delete(s.told, jid)
		}
	}
	s.allowed = allowed
	unpinned := slices.DeleteFunc(slices.Clone(removed), s.book.allowedLocked)
	s.book.mu.Unlock()
	for _, jid := range removed {
		s.log.WithField("peer", jid).Info("signalling: account left the roster, its sessions end")
	}
	for _, jid := range unpinned {
		if err := s.book.pins.forget(jid); err != nil {
			s.log.WithError(err).Warn("signalling: pin stays on disk")
		}
	}
	s.book.notifyAll()
}

// Presence implements signal.Handler.
func (s *Service) Presence(from string, available bool, ext []byte) {
	jid := bare(from)
	if jid == s.jid {
		s.ownAccount(from, available && ext != nil)
		return
	}
	s.book.mu.Lock()
	allowed := s.allowed[jid]
	s.book.mu.Unlock()
	if !allowed {
		s.strangers.Add(1)
		return
	}
	if !available {
		s.book.mu.Lock()
		s.dropLocked(jid, from)
		s.book.mu.Unlock()
		s.book.notifyAll()
		return
	}
	if ext == nil {
		return // some other client of a person
	}
	e, err := parseExtension(ext)
	if err == nil {
		err = e.compatible()
	}
	if err == nil {
		err = s.admit(jid, e)
	}
	s.book.mu.Lock()
	s.dropLocked(jid, from)
	if err == nil {
		list := append(s.online[jid], &resource{full: from, ext: e})
		s.online[jid] = list[max(0, len(list)-maxResources):]
	}
	now := time.Now()
	news := err != nil && now.Sub(s.told[jid]) >= tellAgain
	if news {
		s.told[jid] = now
	}
	s.book.mu.Unlock()
	if news {
		s.log.WithField("peer", jid).WithError(err).Warn("signalling: member refused")
	}
	s.book.notifyAll()
}

// ownAccount takes the presence of another connection of our own account.
func (s *Service) ownAccount(full string, engine bool) {
	s.book.mu.Lock()
	news := engine && s.twin != full
	if news {
		s.twin = full
	}
	s.book.mu.Unlock()
	if news {
		s.log.WithField("resource", full).Error("signalling: another engine is logged in with this account; unless it is this engine's last connection, which the server has not given up yet, give each engine an account and an identity of its own")
	}
}

// admit checks the identity of an account of the roster against its pin.
func (s *Service) admit(jid string, e extension) error {
	if e.Key.Equal(s.book.self) {
		return fmt.Errorf("%s shows this engine's own identity: one of the two is a copy, remove identity.pem from the copy's state directory", jid)
	}
	return s.book.pins.check(jid, e.Key)
}

func (s *Service) dropLocked(jid, full string) {
	list := slices.DeleteFunc(s.online[jid], func(r *resource) bool { return r.full == full })
	if len(list) == 0 {
		delete(s.online, jid)
		return
	}
	s.online[jid] = list
}

// Message implements signal.Handler: it hands the payload to the overlay whose
// node it is addressed to, if the sender is a member of that overlay.
func (s *Service) Message(from string, payload []byte) {
	to, err := contact.To(payload)
	if err != nil {
		s.log.WithField("peer", from).WithError(err).Debug("signalling: message dropped")
		return
	}
	name, sub := s.book.subscriptionOf(to)
	if sub == nil {
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
	if !s.allowed[jid] {
		return Member{}, errors.New("not in the roster")
	}
	if !slices.Contains(s.book.servingLocked(overlay), s) {
		return Member{}, fmt.Errorf("this account does not serve overlay %q", overlay)
	}
	key, pinned := s.book.pins.get(jid)
	if !pinned {
		return Member{}, errors.New("its identity has not been announced yet")
	}
	return Member{JID: jid, Key: key, Node: nodeid.FromKey(key, overlay), Online: true, full: from, via: s}, nil
}

// membersLocked returns the members of the overlay that this service vouches for.
func (s *Service) membersLocked(overlay string) []Member {
	var list []Member
	for jid := range s.allowed {
		key, pinned := s.book.pins.get(jid)
		if !pinned {
			continue
		}
		m := Member{JID: jid, Key: key, Node: nodeid.FromKey(key, overlay), via: s}
		for _, r := range s.online[jid] {
			if bytes.Equal(r.ext.Key, key) && slices.Contains(r.ext.Nodes, m.Node) {
				m.Online, m.full = true, r.full
			}
		}
		list = append(list, m)
	}
	return list
}

// Send passes a payload to the member's engine. It fails when the member is not
// online; it does not wait for an answer.
func (m Member) Send(ctx context.Context, payload []byte) error {
	if !m.Online || m.via == nil {
		return fmt.Errorf("send to %s: it is offline", m.JID)
	}
	m.via.book.mu.Lock()
	a := m.via.announcer
	m.via.book.mu.Unlock()
	if a == nil {
		return fmt.Errorf("send to %s: no signalling session", m.JID)
	}
	return a.Send(ctx, m.full, payload)
}
