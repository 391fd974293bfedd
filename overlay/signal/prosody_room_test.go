//go:build component

package signal

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const testRoom = "evio@rooms.evio.test"

// sitsWith reports whether a room shows other to p.
func (p *party) sitsWith(other *party) bool {
	full := other.jid()
	return full != "" && read(p, func() bool { _, ok := p.placed[full]; return ok })
}

// roomMembers is what the changes of the room amount to.
func (p *party) roomMembers() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	members := map[string]bool{}
	for _, c := range p.rooms {
		if c.Complete || c.Closed {
			clear(members)
		}
		for _, jid := range c.Members {
			members[jid] = true
		}
		for _, jid := range c.Removed {
			delete(members, jid)
		}
	}
	var list []string
	for jid := range members {
		list = append(list, jid)
	}
	slices.Sort(list)
	return list
}

// fault is the error of the last change.
func (p *party) fault() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.rooms) == 0 || p.rooms[len(p.rooms)-1].Err == nil {
		return ""
	}
	return p.rooms[len(p.rooms)-1].Err.Error()
}

// makeRoom has owner create the room with these settings.
func makeRoom(t *testing.T, owner *party, fields string) {
	t.Helper()
	say(t, owner, "<presence to='"+testRoom+"/owner'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
	configureRoom(t, owner, fields)
}

func configureRoom(t *testing.T, owner *party, fields string) {
	t.Helper()
	say(t, owner, "<iq type='set' id='"+randomHex(4)+"' to='"+testRoom+"'><query xmlns='http://jabber.org/protocol/muc#owner'>"+
		"<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>"+fields+"</x></query></iq>")
}

func affiliate(t *testing.T, owner *party, jid, affiliation string) {
	t.Helper()
	say(t, owner, fmt.Sprintf("<iq type='set' id='%s' to='%s'><query xmlns='http://jabber.org/protocol/muc#admin'><item jid='%s' affiliation='%s'/></query></iq>",
		randomHex(4), testRoom, jid, affiliation))
}

func field(name, value string) string {
	return "<field var='muc#roomconfig_" + name + "'><value>" + value + "</value></field>"
}

var fitRoom = field("membersonly", "1") + field("whois", "anyone") + field("persistentroom", "1")

// checkRoom is what every server must do. dave owns the room and is no engine; alice
// and carol, who know each other only by the room, are.
func checkRoom(t *testing.T, join func(user string, rooms ...string) *party, domain string) {
	dave := join("dave")
	poll(t, "dave is there", func() bool { return dave.jid() != "" })
	alice, carol := join("alice", testRoom), join("carol", testRoom)
	poll(t, "a room that is not there is refused", func() bool { return strings.Contains(alice.fault(), "create it members-only") })

	makeRoom(t, dave, fitRoom)
	affiliate(t, dave, "alice@"+domain, "member")
	affiliate(t, dave, "carol@"+domain, "admin")
	alice.client.Reconnect() // in place of half a minute's wait
	carol.client.Reconnect()
	all := []string{"alice@" + domain, "carol@" + domain, "dave@" + domain}
	poll(t, "alice and carol are in the room", func() bool { return alice.sitsWith(carol) && carol.sitsWith(alice) })
	poll(t, "both know the members", func() bool {
		return slices.Equal(alice.roomMembers(), all) && slices.Equal(carol.roomMembers(), all)
	})

	t.Run("a message to an account that is on no roster", func(t *testing.T) {
		if err := alice.client.Send(t.Context(), carol.jid(), []byte("by the room")); err != nil {
			t.Fatal(err)
		}
		want := alice.jid() + ": by the room"
		poll(t, "carol hears it under alice's own address", func() bool {
			return read(carol, func() bool { return slices.Contains(carol.heard, want) })
		})
	})
	t.Run("a changed extension is seen in the room", func(t *testing.T) {
		alice.client.SetExtension([]byte("changed"))
		full := alice.jid()
		poll(t, "carol sees the change", func() bool { return read(carol, func() bool { return carol.placed[full] == "changed" }) })
	})
	t.Run("leaving takes no membership", func(t *testing.T) {
		full := carol.jid()
		carol.leave()
		poll(t, "alice sees carol go", func() bool { return read(alice, func() bool { _, there := alice.placed[full]; return !there }) })
		if got := alice.roomMembers(); !slices.Equal(got, all) {
			t.Errorf("members %v", got)
		}
	})
	t.Run("affiliation of somebody who is not there", func(t *testing.T) {
		affiliate(t, dave, "bob@"+domain, "member")
		poll(t, "bob is a member", func() bool { return slices.Contains(alice.roomMembers(), "bob@"+domain) })
		affiliate(t, dave, "bob@"+domain, "none")
		poll(t, "bob is none", func() bool { return !slices.Contains(alice.roomMembers(), "bob@"+domain) })
	})
	carol = join("carol", testRoom)
	poll(t, "carol is back", func() bool { return alice.sitsWith(carol) && carol.sitsWith(alice) })
	t.Run("removal", func(t *testing.T) {
		affiliate(t, dave, "carol@"+domain, "none")
		poll(t, "alice is told", func() bool { return !slices.Contains(alice.roomMembers(), "carol@"+domain) && !alice.sitsWith(carol) })
		poll(t, "carol is told", func() bool {
			return strings.Contains(carol.fault(), "no member of it") && len(carol.roomMembers()) == 0
		})
	})
	t.Run("a room that becomes open is of no use", func(t *testing.T) {
		configureRoom(t, dave, field("membersonly", "0")+field("whois", "anyone")+field("persistentroom", "1"))
		poll(t, "alice refuses it", func() bool {
			return strings.Contains(alice.fault(), "not both members-only and non-anonymous") && len(alice.roomMembers()) == 0
		})
		configureRoom(t, dave, fitRoom)
		alice.client.Reconnect()
		poll(t, "alice takes it again", func() bool { return alice.fault() == "" && len(alice.roomMembers()) == 2 })
	})
	t.Run("the end of the room", func(t *testing.T) {
		say(t, dave, "<iq type='set' id='end' to='"+testRoom+"'><query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query></iq>")
		poll(t, "alice is told", func() bool { return strings.Contains(alice.fault(), "no such room") && len(alice.roomMembers()) == 0 })
	})
}

// checkSiblings looks at two sessions of one account, which must find each other for a
// copied engine to be noticed.
func checkSiblings(t *testing.T, one, two *party) {
	t.Helper()
	poll(t, "two sessions of one account see each other", func() bool {
		first, second := one.jid(), two.jid()
		return first != "" && second != "" && read(one, func() bool { return one.online[second] != "" }) && read(two, func() bool { return two.online[first] != "" })
	})
	for _, way := range [][2]*party{{one, two}, {two, one}} {
		if err := way[0].client.Send(t.Context(), way[1].jid(), []byte("are you me")); err != nil {
			t.Fatal(err)
		}
		want := way[0].jid() + ": are you me"
		poll(t, "the message to the other session", func() bool { return read(way[1], func() bool { return slices.Contains(way[1].heard, want) }) })
	}
}

func TestProsodyRoom(t *testing.T) {
	newProsody(t, "tlsv1_2+")
	checkSiblings(t, join(t, "bob", testPassword, false), join(t, "bob", testPassword, true))
	checkRoom(t, func(user string, rooms ...string) *party { return join(t, user, testPassword, false, rooms...) }, testDomain)
}

// TestProsodyRoomOutage kills the server of room and accounts.
func TestProsodyRoomOutage(t *testing.T) {
	server := newProsody(t, "tlsv1_2+")
	dave := join(t, "dave", testPassword, false)
	poll(t, "dave is there", func() bool { return dave.jid() != "" })
	makeRoom(t, dave, fitRoom)
	affiliate(t, dave, "alice@evio.test", "member")
	alice := join(t, "alice", testPassword, true, testRoom)
	poll(t, "alice is a member", func() bool { return len(alice.roomMembers()) == 2 })
	before := read(alice, func() int { return len(alice.rooms) })
	server.kill()
	poll(t, "alice notices", func() bool { return alice.jid() == "" })
	server.start()
	poll(t, "alice is in the room again", func() bool {
		return read(alice, func() bool { return len(alice.rooms) > before && alice.rooms[len(alice.rooms)-1].Complete })
	})
	for _, c := range read(alice, func() []RoomChange { return alice.rooms[before:] }) {
		if c.Closed || len(c.Removed) > 0 {
			t.Errorf("an outage has removed members: %+v", c)
		}
	}
}
