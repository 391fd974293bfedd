package signal

import (
	"context"
	"encoding/xml"
	"errors"
	"slices"
	"sync"
	"time"

	"gosrc.io/xmpp/stanza"
)

// session is a logged-in stream. Its reader is the goroutine of run; a second
// goroutine, write, does all writing and watches over silence.
type session struct {
	*login
	client *Client
	out    chan frame
	ended  chan struct{} // closed when the writer is gone
	asking askers
	rooms  rooms

	fetching refresh

	mu       sync.Mutex
	pings    []string          // ids of our pings under way
	occupied map[string]string // our address in the rooms that we are in
}

// maxPings bounds the pings whose answer is waited for.
const maxPings = 4

func newSession(c *Client, l *login) *session {
	return &session{
		login: l, client: c, out: make(chan frame, backlog), ended: make(chan struct{}),
		rooms: newRooms(c.cfg.Rooms, l.full, c.cfg.Refresh), occupied: map[string]string{},
		fetching: refresh{every: c.cfg.Refresh, due: time.Now().Add(c.cfg.Refresh)},
	}
}

// run calls up and reads until the connection or ctx ends; it returns why it ended.
func (s *session) run(ctx context.Context, up func()) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var writer sync.WaitGroup
	writer.Go(func() { s.write(ctx, cancel) })
	up() // may send
	s.tick()
	var err error
	for err == nil {
		if err = s.readOne(); err == nil {
			s.tick()
		}
	}
	cancel(err) // the first cause stands: the writer's, if it broke the connection
	writer.Wait()
	return context.Cause(ctx)
}

// readOne reads one stanza and acts on it, or skips one beyond our limits: the server
// has let it pass, and whoever sent it shall not end the connection. An error does.
func (s *session) readOne() error {
	err := s.readStanza()
	if _, excessive := errors.AsType[excess](err); !excessive {
		return err
	}
	s.client.ignore(ignoredExcess)
	return s.skip()
}

func (s *session) readStanza() error {
	start, err := s.next()
	if err != nil {
		return err
	}
	switch start.Name {
	case xml.Name{Space: stanza.NSClient, Local: "message"}:
		n, err := s.note(start)
		if err == nil {
			s.message(n)
		}
		return err
	case xml.Name{Space: stanza.NSClient, Local: "presence"}:
		n, err := s.note(start)
		if err == nil {
			s.presence(n)
		}
		return err
	case xml.Name{Space: stanza.NSClient, Local: "iq"}:
		q, err := s.query(start, func(from string) bool { return ownAccount(from, s.full) || s.rooms.of(from) != nil })
		if err == nil {
			s.iq(q)
		}
		return err
	}
	s.client.ignore(ignoredElement)
	if err := s.dec.Skip(); err != nil {
		return readError(err)
	}
	return nil
}

func (s *session) message(n note) {
	if r := s.rooms.of(n.from); r != nil && n.from == r.jid && n.typ != string(stanza.MessageTypeError) {
		s.enact(r, r.news(n, time.Now()), nil)
		return
	}
	payload, err := decodePayload(n.found)
	switch {
	case n.typ == string(stanza.MessageTypeError) || n.typ == string(stanza.MessageTypeGroupchat):
		s.client.ignore(ignoredType)
	case err != nil:
		s.client.ignore(ignoredPayload)
	case payload == nil:
		s.client.ignore(ignoredMessage)
	case !isFull(n.from):
		s.client.ignore(ignoredAddress)
	default:
		s.client.countReceived()
		s.client.handler.Message(n.from, payload)
	}
}

func (s *session) presence(n note) {
	if r := s.rooms.of(n.from); r != nil {
		s.roomPresence(r, n)
		return
	}
	switch stanza.StanzaType(n.typ) {
	case "", stanza.PresenceTypeUnavailable:
		if !isFull(n.from) {
			s.client.ignore(ignoredAddress)
			return
		}
		if n.from == s.full { // the server's echo
			return
		}
		extension, err := decodePayload(n.found)
		if err != nil {
			s.client.ignore(ignoredPayload)
		}
		s.client.handler.Presence(n.from, n.typ == "", extension)
	case stanza.PresenceTypeSubscribe:
		from := bareOf(n.from)
		if _, known := s.roster[from]; known {
			s.reply(subscribedXML(from))
			return
		}
		s.asking.note(from)
		s.client.ignore(ignoredSubscribe)
	default: // the roster tells of subscriptions
		s.client.ignore(ignoredPresence)
	}
}

func (s *session) roomPresence(r *room, n note) {
	extension, err := decodePayload(n.found)
	if err != nil {
		s.client.ignore(ignoredPayload)
	}
	s.enact(r, r.presence(n, time.Now()), extension)
}

// iq answers requests and takes replies (RFC 6120, section 8.2.3).
func (s *session) iq(q query) {
	own := ownAccount(q.from, s.full)
	switch {
	case !isRequest(q):
		if !s.pong(q) && !s.rosterAnswer(q, own) && !s.roomAnswer(q) {
			s.client.ignore(ignoredReply)
		}
	case q.child == xml.Name{Space: stanza.NSRoster, Local: "query"} && q.typ == string(stanza.IQTypeSet):
		s.push(q, own)
	case q.child == xml.Name{Space: nsPing, Local: "ping"} && q.typ == string(stanza.IQTypeGet) && s.mayPing(q.from, own):
		s.reply(replyXML(q.from, q.id, ""))
	default:
		s.client.ignore(ignoredRequest)
		s.reply(replyXML(q.from, q.id, "service-unavailable"))
	}
}

// push takes a change of the roster from our own account alone (RFC 6121, section 2.1.6).
func (s *session) push(q query, own bool) {
	if !own {
		s.client.ignore(ignoredPush)
		s.client.log.WithField("peer", quote(q.from)).Debug("roster push from a stranger ignored")
		s.reply(replyXML(q.from, q.id, "service-unavailable"))
		return
	}
	if !s.roster.push(q.roster) {
		s.client.ignore(ignoredPush)
		s.reply(replyXML(q.from, q.id, "bad-request"))
		return
	}
	s.reply(replyXML(q.from, q.id, ""))
	s.setRoster(s.roster)
}

// mayPing tells the server and contacts that we are here, and nobody else
// (XEP-0199, section 7).
func (s *session) mayPing(from string, own bool) bool {
	_, contact := s.roster[bareOf(from)]
	room := s.rooms.of(from)
	return own || contact || from == s.client.account.domain || room != nil && from == room.occupantJID()
}

// startPing returns the id of our next ping.
func (s *session) startPing() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := randomHex(8)
	s.pings = append(s.pings, id)
	s.pings = s.pings[max(0, len(s.pings)-maxPings):]
	return id
}

// pong takes the reply to our ping; a server that does not know pings answers with
// an error, which shows as well that it lives.
func (s *session) pong(q query) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.pings, q.id)
	if i < 0 || q.from != s.client.account.domain {
		return false
	}
	s.pings = slices.Delete(s.pings, i, i+1)
	return true
}

// roomAnswer takes a reply of a room.
func (s *session) roomAnswer(q query) bool {
	r := s.rooms.of(q.from)
	if r == nil {
		return false
	}
	effects, ok := r.answer(q, time.Now())
	s.enact(r, effects, nil)
	return ok
}
