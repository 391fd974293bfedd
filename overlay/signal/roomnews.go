package signal

import (
	"strings"
	"time"

	"gosrc.io/xmpp/stanza"
)

// presence takes a presence from the room or an occupant.
func (r *room) presence(n note, now time.Time) []roomEffect {
	if n.typ == string(stanza.PresenceTypeError) {
		if r.step == roomJoining && (n.from == r.jid || n.from == r.occupantJID()) {
			return r.declined(n.fault, now)
		}
		return nil
	}
	if len(n.room) != 1 || r.step < roomJoining && !r.in {
		return nil
	}
	user, available := n.room[0], n.typ == ""
	self := user.has("110") || r.in && n.from == r.occupantJID()
	for _, i := range user.Items {
		self = self || i.attr("jid") == r.own
	}
	switch {
	case self && !available:
		return r.left(user, now)
	case self && r.step == roomJoining:
		r.in = true
		_, r.nick, _ = strings.Cut(n.from, "/")
		r.list, r.listed = 0, map[string]bool{}
		return r.fetchList(now)
	case self:
		return nil
	}
	return r.occupants(user, available)
}

// left takes the end of our place in the room. The end of our membership, and that of the
// room itself, have errors of their own.
func (r *room) left(user roomUser, now time.Time) []roomEffect {
	affiliation := ""
	for _, i := range user.Items {
		affiliation = i.attr("affiliation")
		if nick := i.attr("nick"); user.has("303") && nick != "" { // the room renames us
			r.nick = nick
			return nil
		}
	}
	r.in = false
	switch {
	case user.Destroy != nil:
		return r.fail(errRoomGone, true, now)
	case user.has("301", "321", "322"),
		!user.has("332", "333") && (affiliation == "none" || affiliation == "outcast"):
		return r.fail(errRoomNotMember, true, now)
	}
	return r.fail(errRoomLost, false, now)
}

// occupants takes what the room says of others that are in it.
func (r *room) occupants(user roomUser, available bool) (effects []roomEffect) {
	closing := user.Destroy != nil || user.has("332", "333")
	for _, i := range user.Items {
		full := i.attr("jid")
		if !isFull(full) {
			continue
		}
		if available || !closing {
			effects = append(effects, r.affiliation(bareOf(full), i.attr("affiliation"))...)
		}
		if available && r.seen < maxOccupants || !available {
			effects = append(effects, roomEffect{occupant: full, available: available})
		}
		if available {
			r.seen++
		} else if r.seen > 0 {
			r.seen--
		}
	}
	return effects
}

// news takes a message of the room itself: its settings have changed, or the
// affiliation of somebody who is not in it (XEP-0045, sections 9.3 and 10.2.1).
func (r *room) news(n note, now time.Time) (effects []roomEffect) {
	if len(n.room) != 1 || !r.in {
		return nil
	}
	for _, i := range n.room[0].Items {
		effects = append(effects, r.affiliation(bareOf(i.attr("jid")), i.attr("affiliation"))...)
	}
	if n.room[0].has("104", "172", "173", "174") && r.step != roomDiscovering {
		effects = append(effects, r.discover(now)...)
	}
	return effects
}

// affiliation reports who has become a member and who no longer is one.
func (r *room) affiliation(jid, is string) []roomEffect {
	if !validBare(jid) {
		return nil
	}
	switch is {
	case "owner", "admin", "member":
		if r.listed != nil && len(r.listed) < maxRoster {
			r.listed[jid] = true
		}
		if r.members[jid] || len(r.members) >= maxRoster {
			return nil
		}
		r.members[jid] = true
		return []roomEffect{{change: &RoomChange{Members: []string{jid}}}}
	case "none", "outcast":
		delete(r.listed, jid)
		delete(r.members, jid)
		return []roomEffect{{change: &RoomChange{Removed: []string{jid}}}}
	}
	return nil
}
