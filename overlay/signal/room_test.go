package signal

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const (
	someRoom = "evio@rooms.evio.test"
	fit      = "<feature var='muc_membersonly'/><feature var='muc_nonanonymous'/>"
	noOne    = "members [] removed [] complete false closed "
	aliceTo  = "room " + someRoom + " "
)

// house is a room's service on the scripted server.
type house struct {
	t *testing.T
	*peer
	full     string
	features string            // what the room is; "": silence
	lists    map[string]string // items by affiliation; nil: forbidden
	taken    int               // nicks that are refused
	selfPing string            // the error of a ping of ourselves, or ""
	hall     string            // presences of those who are there
	joined   chan string       // our nicks
	shown    chan sent         // our later presences

	mu sync.Mutex // guards what a test changes
}

func (h *house) change(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

func newHouse(t *testing.T) *house {
	return &house{
		t: t, features: fit, joined: make(chan string, 64), shown: make(chan sent, 64),
		lists: map[string]string{"owner": item("dave@evio.test", "owner", ""), "admin": "", "member": item("alice@evio.test", "member", "") + item("bob@evio.test", "member", "")},
	}
}

func item(jid, affiliation, more string) string {
	return fmt.Sprintf("<item jid='%s' affiliation='%s' %s/>", jid, affiliation, more)
}

// occupant is a presence as the room passes it on.
func occupant(nick, typ, inner string) string {
	return fmt.Sprintf("<presence from='%s/%s' %s>%s<x xmlns='http://jabber.org/protocol/muc#user'>%s</x></presence>", someRoom, nick, typ, evioX, inner)
}

// serve answers until the client goes.
func (h *house) serve(p *peer, full string) {
	h.peer, h.full = p, full
	for {
		e, ok := p.read()
		if !ok {
			return
		}
		h.change(func() { h.take(e, e.attr("to")) })
	}
}

func (h *house) take(e sent, to string) {
	switch {
	case e.XMLName.Local == "presence" && strings.Contains(e.Inner, "protocol/muc\""):
		h.enter(strings.TrimPrefix(to, someRoom+"/"))
	case e.XMLName.Local == "presence":
		h.shown <- e
	case strings.Contains(e.Inner, "disco#info"):
		if h.features != "" {
			h.answer(e, "", "<query xmlns='http://jabber.org/protocol/disco#info'>"+h.features+"</query>")
		}
	case strings.Contains(e.Inner, "muc#admin"):
		h.list(e)
	case strings.Contains(e.Inner, nsPing) && strings.HasPrefix(to, someRoom):
		h.answer(e, h.selfPing, "")
	case strings.Contains(e.Inner, nsPing):
		h.answer(e, "", "")
	}
}

func (h *house) enter(nick string) {
	if h.taken > 0 {
		h.taken--
		h.send("<presence from='%s/%s' type='error'><error type='cancel'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>", someRoom, nick)
		return
	}
	h.send("%s%s", h.hall, occupant(nick, "", item(h.full, "member", "")+"<status code='110'/>"))
	h.joined <- nick
}

func (h *house) list(e sent) {
	if h.lists == nil {
		h.answer(e, "forbidden", "")
		return
	}
	for affiliation, items := range h.lists {
		if strings.Contains(e.Inner, `affiliation="`+affiliation) {
			h.answer(e, "", "<query xmlns='http://jabber.org/protocol/muc#admin'>"+items+"</query>")
		}
	}
}

func (h *house) answer(e sent, condition, inner string) {
	if condition != "" {
		h.send("<iq type='error' id='%s' from='%s'><error type='cancel'><%s xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>", e.attr("id"), e.attr("to"), condition)
		return
	}
	h.send("<iq type='result' id='%s' from='%s'>%s</iq>", e.attr("id"), e.attr("to"), inner)
}

// inRoom runs body with a client whose room h serves.
func inRoom(t *testing.T, h *house, body func(s *scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h.joined, h.shown = make(chan string, 64), make(chan sent, 64)
		s := newScene(t, serve(h.serve))
		s.cfg.Rooms = []string{someRoom}
		s.start()
		s.expectLogin()
		body(s)
		s.end()
	})
}

const allMembers = aliceTo + "members [alice@evio.test bob@evio.test dave@evio.test] removed [] complete true closed false: <nil>"

func TestRoom(t *testing.T) {
	h := newHouse(t)
	h.taken = 2
	h.hall = occupant("b", "", item("bob@evio.test/1", "member", ""))
	inRoom(t, h, func(s *scene) {
		s.expect(aliceTo + "members [bob@evio.test] removed [] complete false closed false: <nil>")
		s.expect("occupant " + someRoom + ` bob@evio.test/1 true "x"`)
		s.expect(allMembers)
		nick := <-h.joined
		if !strings.HasPrefix(nick, "alice-") || len(nick) != len("alice-")+8 {
			t.Errorf("nick %q", nick)
		}
		s.client.SetExtension([]byte("changed"))
		if e := <-h.shown; e.attr("to") != "" {
			t.Errorf("first to %q", e.attr("to"))
		}
		if e := <-h.shown; e.attr("to") != someRoom+"/"+nick || !strings.Contains(e.Inner, "Y2hhbmdlZA==") {
			t.Errorf("shown to the room: %+v", e)
		}
		for _, step := range []struct{ name, send, want string }{
			{"somebody comes", occupant("c", "", item("carol@evio.test/1", "admin", "")), aliceTo + "members [carol@evio.test] removed [] complete false closed false: <nil>"},
			{"", "", "occupant " + someRoom + ` carol@evio.test/1 true "x"`},
			{"and goes", occupant("c", "type='unavailable'", item("carol@evio.test/1", "admin", "role='none'")), "occupant " + someRoom + " carol@evio.test/1 false"},
			{"bob is removed", occupant("b", "type='unavailable'", item("bob@evio.test/1", "none", "")+"<status code='321'/>"), aliceTo + "members [] removed [bob@evio.test]"},
			{"", "", "occupant " + someRoom + " bob@evio.test/1 false"},
			{"carol is banned while away", "<message from='" + someRoom + "'><x xmlns='http://jabber.org/protocol/muc#user'>" + item("carol@evio.test", "outcast", "") + "</x></message>", aliceTo + "members [] removed [carol@evio.test]"},
		} {
			if step.send != "" {
				h.send("%s", step.send)
			}
			if got := s.expect(""); !strings.HasPrefix(got, step.want) {
				t.Errorf("%s: %q, want %q", step.name, got, step.want)
			}
		}
		for name, forged := range map[string]string{
			"message of an occupant":    "<message from='" + someRoom + "/b'><x xmlns='http://jabber.org/protocol/muc#user'>" + item("dave@evio.test", "none", "") + "</x></message>",
			"two words of the room":     "<presence from='" + someRoom + "/b'><x xmlns='http://jabber.org/protocol/muc#user'>" + item("m@evil.test/1", "member", "") + "</x><x xmlns='http://jabber.org/protocol/muc#user'/></presence>",
			"somebody without a name":   occupant("n", "", "<item affiliation='member'/>"),
			"another room":              strings.ReplaceAll(occupant("b", "", item("m@evil.test/1", "member", "")), someRoom, "other@rooms.evio.test"),
			"a room's list without ask": "<iq type='result' id='1' from='" + someRoom + "'><query xmlns='http://jabber.org/protocol/muc#admin'>" + item("m@evil.test", "member", "") + "</query></iq>",
		} {
			h.send("%s", forged)
			synctest.Wait()
			for len(s.events) > 0 {
				if got := <-s.events; !strings.HasPrefix(got, "presence other@rooms.evio.test/b") {
					t.Errorf("%s: %s", name, got)
				}
			}
		}
	})
}

// TestRoomIsLeft tells what ends a membership from what ends a stay.
func TestRoomIsLeft(t *testing.T) {
	for _, test := range []struct {
		name, user string
		closed     bool
		want       string
	}{
		{"banned", item("alice@evio.test/x", "outcast", "role='none'") + "<status code='301'/>", true, "no member of it"},
		{"removed", item("alice@evio.test/x", "none", "role='none'") + "<status code='321'/>", true, "no member of it"},
		{"became members-only", item("alice@evio.test/x", "none", "role='none'") + "<status code='322'/>", true, "no member of it"},
		{"removed without a code", item("alice@evio.test/x", "none", "role='none'"), true, "no member of it"},
		{"destroyed", "<item affiliation='none' role='none'/><destroy/>", true, "no such room"},
		{"kicked", item("alice@evio.test/x", "member", "role='none'") + "<status code='307'/>", false, "joining again"},
		{"shut down", item("alice@evio.test/x", "none", "role='none'") + "<status code='332'/>", false, "joining again"},
		{"lost", item("alice@evio.test/x", "none", "role='none'") + "<status code='333'/>", false, "joining again"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			inRoom(t, h, func(s *scene) {
				s.expect(allMembers)
				nick := <-h.joined
				h.send("%s", occupant(nick, "type='unavailable'", test.user))
				if got := s.expect(aliceTo + noOne + fmt.Sprint(test.closed)); !strings.Contains(got, test.want) {
					t.Errorf("%q, want %q", got, test.want)
				}
				began := time.Now()
				<-h.joined
				if took := time.Since(began); took > 31*time.Second || !test.closed && took > 11*time.Second {
					t.Errorf("joined again after %v", took)
				}
				s.expect(allMembers)
			})
		})
	}
}

func TestRoomIsRefused(t *testing.T) {
	for _, test := range []struct{ name, features, want string }{
		{"open", "<feature var='muc_open'/><feature var='muc_nonanonymous'/>", "not both members-only and non-anonymous"},
		{"semi-anonymous", "<feature var='muc_membersonly'/><feature var='muc_semianonymous'/>", "not both members-only and non-anonymous"},
		{"password", fit + "<feature var='muc_passwordprotected'/>", "it has a password"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			h.features = test.features
			inRoom(t, h, func(s *scene) {
				if got := s.expect(aliceTo + noOne + "true"); !strings.Contains(got, test.want) {
					t.Errorf("%q, want %q", got, test.want)
				}
				if len(h.joined) > 0 {
					t.Error("joined")
				}
				h.change(func() { h.features = fit })
				s.expect(allMembers)
			})
		})
	}
}

// TestSilentRoom has a service that does not answer, while the server does.
func TestSilentRoom(t *testing.T) {
	h := newHouse(t)
	h.features = ""
	inRoom(t, h, func(s *scene) {
		began := time.Now()
		s.expect(aliceTo + noOne + "false: it does not answer")
		if took := time.Since(began); took < roomTimeout || took > roomTimeout+time.Second {
			t.Errorf("told after %v", took)
		}
		h.change(func() { h.features = fit })
		s.expect(allMembers)
		if got := s.client.Status().Ignored; len(got) > 0 {
			t.Errorf("ignored %v", got)
		}
	})
}

// TestRoomHasLostUs joins again when a ping of ourselves says that we are not in it.
func TestRoomHasLostUs(t *testing.T) {
	h := newHouse(t)
	inRoom(t, h, func(s *scene) {
		s.expect(allMembers)
		<-h.joined
		h.change(func() { h.selfPing = "service-unavailable" }) // we are in it, and do not know pings
		<-time.After(2 * roomPing)
		if len(s.events) > 0 || len(h.joined) > 0 {
			t.Fatalf("event %s", <-s.events)
		}
		h.change(func() { h.selfPing = "not-acceptable" })
		s.expect(aliceTo + noOne + "false: it has put this engine out or lost it")
		h.change(func() { h.selfPing = "" })
		s.expect(allMembers)
	})
}

// TestRoomWithoutLists knows its members by what it shows.
func TestRoomWithoutLists(t *testing.T) {
	h := newHouse(t)
	h.lists = nil
	h.hall = occupant("b", "", item("bob@evio.test/1", "member", ""))
	inRoom(t, h, func(s *scene) {
		s.expect(aliceTo + "members [bob@evio.test]")
		s.expect("occupant")
		s.expect(aliceTo + "members [bob@evio.test] removed [] complete false closed false: <nil>")
		h.send("%s", occupant("b", "type='unavailable'", item("bob@evio.test/1", "member", "")))
		s.expect("occupant " + someRoom + " bob@evio.test/1 false")
		h.send("%s", occupant("b", "", item("bob@evio.test/2", "none", "")))
		s.expect(aliceTo + "members [] removed [bob@evio.test]")
	})
}

// TestRoomChangesItsSettings checks it again.
func TestRoomChangesItsSettings(t *testing.T) {
	h := newHouse(t)
	inRoom(t, h, func(s *scene) {
		s.expect(allMembers)
		h.change(func() { h.features = "<feature var='muc_open'/>" })
		h.send("<message from='%s' type='groupchat'><x xmlns='http://jabber.org/protocol/muc#user'><status code='104'/></x></message>", someRoom)
		s.expect(aliceTo + noOne + "true: it is not both")
		if e := <-h.shown; e.attr("type") != "unavailable" || !strings.HasPrefix(e.attr("to"), someRoom+"/alice-") {
			t.Errorf("did not leave: %+v", e)
		}
	})
}

// TestRoomListsAreFetchedAgain: as often as the roster is, however the room is pinged.
func TestRoomListsAreFetchedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const refresh = 7500 * time.Millisecond
		h := newHouse(t)
		s := newScene(t, serve(h.serve))
		s.cfg.Rooms, s.cfg.Refresh = []string{someRoom}, refresh
		s.start()
		s.expectLogin()
		s.expect(allMembers)
		for range 3 {
			began := time.Now()
			s.expect(allMembers)
			if took := time.Since(began); took != refresh {
				t.Errorf("again after %v, want %v", took, refresh)
			}
		}
		s.end()
	})
}
