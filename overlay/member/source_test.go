package member

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"evio/overlay/signal"
)

func TestSources(t *testing.T) {
	for text, want := range map[string]string{
		"roster": "roster", "group:evio": "group:evio", "group:a:b c": "group:a:b c",
		"room:Evio@Rooms.example.net": "room:evio@rooms.example.net",
		"":                            "write roster", "rooster": "write roster", "group:": "write roster", "group": "write roster",
		"room:": "room", "room:evio": "ROOM@SERVICE", "room:evio@rooms.example.net/x": "ROOM@SERVICE",
	} {
		from, err := parseSource(text)
		if err != nil && !strings.Contains(err.Error(), want) || err == nil && from.String() != want {
			t.Errorf("%q is %v, %v, want %q", text, from, err, want)
		}
	}
}

// both is a contact of some groups.
func both(jid string, groups ...string) signal.Item {
	return signal.Item{JID: jid, Subscription: "both", Groups: groups}
}

func jids(list []Member) (out []string) {
	for _, m := range list {
		out = append(out, m.JID)
	}
	slices.Sort(out)
	return out
}

func TestGroupDecides(t *testing.T) {
	f := newFixtureFor(t, "group:evio")
	f.service.Roster([]signal.Item{both("b@x", "evio", "friends"), both("c@x", "friends"), {JID: "d@x", Subscription: "from", Groups: []string{"evio"}}})
	for _, jid := range []string{"b@x", "c@x", "d@x"} {
		appear(f.service, jid+"/1", newKey(t), "blue")
	}
	if got := jids(f.book.Members("blue")); !slices.Equal(got, []string{"b@x"}) || f.service.Strangers() != 2 {
		t.Fatalf("members %v, %d strangers", got, f.service.Strangers())
	}
	f.service.Roster([]signal.Item{both("b@x", "friends")})
	if got := f.book.Members("blue"); len(got) != 0 {
		t.Errorf("members %v after the group was taken away", got)
	}
	if got := f.book.Peers(); len(got) != 1 || got[0].JID != "b@x" {
		t.Errorf("pins: %v", got)
	}
}

func TestOverlaysOfOneServiceDiffer(t *testing.T) {
	f := newFixture(t)
	s := f.serve(t, "e@y", map[string]string{"red": "group:red", "green": "room:green@rooms.y"})
	if got := s.Rooms(); !slices.Equal(got, []string{"green@rooms.y"}) {
		t.Errorf("rooms %v", got)
	}
	s.Roster([]signal.Item{both("b@x", "red"), both("c@x")})
	s.Room("green@rooms.y", signal.RoomChange{Members: []string{"c@x", "e@y"}, Complete: true})
	for _, jid := range []string{"b@x", "c@x"} {
		appear(s, jid+"/1", newKey(t), "red", "green")
	}
	for overlay, want := range map[string][]string{"red": {"b@x"}, "green": {"c@x"}, "blue": nil} {
		if got := jids(f.book.Members(overlay)); !slices.Equal(got, want) {
			t.Errorf("members of %s: %v, want %v", overlay, got, want)
		}
	}
	if _, err := s.sender("red", "c@x/1"); err == nil {
		t.Error("a message of a member of green is heard in red")
	}
	s.Roster(nil)
	if got := jids(f.book.Members("green")); !slices.Equal(got, []string{"c@x"}) {
		t.Errorf("the roster decides for a room: %v", got)
	}
	if got := f.book.Peers(); len(got) != 2 || got[0].JID != "b@x" || got[1].JID != "c@x" {
		t.Errorf("pins %+v", got)
	}
}

func TestRoomOutageKeepsMembers(t *testing.T) {
	const room = "evio@rooms.x"
	f := newFixtureFor(t, "room:"+room)
	key := newKey(t)
	f.service.Room(room, signal.RoomChange{Members: []string{"b@x", "c@x"}, Complete: true})
	f.service.Occupant(room, "b@x/1", true, announcement(key, "b@x", "blue"))
	f.service.Occupant(room, "c@x/1", true, announcement(newKey(t), "c@x", "blue"))
	if got := f.book.Members("blue"); len(got) != 2 || !got[0].Online || !got[1].Online {
		t.Fatalf("members %+v", got)
	}
	f.service.Room(room, signal.RoomChange{Err: errors.New("the room's server is down")})
	if got := f.book.Members("blue"); len(got) != 2 || got[0].Online || got[1].Online {
		t.Errorf("after an outage: %+v", got)
	}
	if got := f.book.Faults(); len(got) != 1 || !strings.Contains(got[0], "server is down") {
		t.Errorf("faults %q", got)
	}
	f.service.Room(room, signal.RoomChange{Members: []string{"d@x"}})
	f.service.Room(room, signal.RoomChange{Removed: []string{"c@x"}})
	if got := jids(f.book.Members("blue")); !slices.Equal(got, []string{"b@x"}) || len(f.book.Faults()) != 0 {
		t.Errorf("members %v, faults %q", got, f.book.Faults())
	}
	f.service.Room(room, signal.RoomChange{Closed: true, Err: errors.New("it is open to everybody")})
	if got := f.book.Members("blue"); len(got) != 0 {
		t.Errorf("a room that is of no use has members: %v", got)
	}
	f.service.Room(room, signal.RoomChange{Members: []string{"b@x"}, Complete: true})
	f.service.Occupant(room, "b@x/2", true, announcement(newKey(t), "b@x", "blue"))
	if got := f.book.Members("blue"); len(got) != 1 || !got[0].Key.Equal(key.Public()) {
		t.Errorf("the pin did not outlive the room's mistake: %+v", got)
	}
}

// TestRoomAndRosterShowOneResource looks at who goes where both show it.
func TestRoomAndRosterShowOneResource(t *testing.T) {
	const room = "evio@rooms.x"
	f := newFixture(t)
	s := f.serve(t, "e@y", map[string]string{"red": "room:" + room, "blue": "roster"})
	ext := announcement(newKey(t), "b@x", "red", "blue")
	s.Roster(roster("b@x"))
	s.Room(room, signal.RoomChange{Members: []string{"b@x"}})
	s.Presence("b@x/1", true, ext)
	s.Occupant(room, "b@x/1", true, ext)
	s.Occupant(room, "b@x/1", false, nil)
	if got := f.book.Members("red"); len(got) != 1 || !got[0].Online {
		t.Errorf("it left the room only: %+v", got)
	}
	s.Presence("b@x/1", false, nil)
	if got := f.book.Members("red"); len(got) != 1 || got[0].Online {
		t.Errorf("it left: %+v", got)
	}
}
