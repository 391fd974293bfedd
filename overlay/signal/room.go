package signal

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"gosrc.io/xmpp/stanza"
)

const (
	roomTimeout  = 15 * time.Second // for an answer of a room
	roomRetry    = 10 * time.Second // after an outage
	roomRecheck  = 30 * time.Second // of a room that could not be used
	roomPing     = 30 * time.Second // in a room (XEP-0410)
	roomRefresh  = 5 * time.Minute  // of what the room is and who its members are, at the latest
	maxNicks     = 8
	maxOccupants = 8192
)

// room is this session's place in one room (XEP-0045), as a machine without I/O:
// stanzas of the room and the time go in, effects come out.
//
// It finds out what the room is, joins it, fetches the lists of its members, and
// stays. Where the room does not give the lists to us, its members are the accounts that
// it shows with an affiliation, until it shows them without.
type room struct {
	jid, own string        // own: our full JID
	refresh  time.Duration // of its lists
	nick     string
	tries    int    // nicks that were taken
	shown    []byte // the extension that we joined with

	step    roomStep
	request string    // id of the request under way, or ""
	due     time.Time // of what comes next, or of the failure of what is under way
	fresh   time.Time // when the members must be fetched again

	in       bool
	complete bool            // its lists of members were read
	members  map[string]bool // bare JIDs, as far as handed up in this session
	listed   map[string]bool // gathered from the lists
	list     int             // which one is asked for
	seen     int             // occupants, by real addresses handed up and not yet gone
}

type roomStep uint8

const (
	roomIdle roomStep = iota
	roomDiscovering
	roomJoining
	roomListing
	roomStaying
	roomPinging
)

// memberLists are the affiliations that make a member.
var memberLists = [...]string{"owner", "admin", "member"}

// roomEffect is one thing to do, in order: a stanza to send or news to hand up.
type roomEffect struct {
	stanza    []byte
	change    *RoomChange
	occupant  string // real full JID, if news of one
	available bool
	join      bool // send our presence to the nick, as a join
}

var (
	errRoomSilent    = errors.New("it does not answer: its members stay as they were, trying again")
	errRoomLost      = errors.New("it has put this engine out or lost it: its members stay as they were, joining again")
	errRoomGone      = errors.New("there is no such room: create it members-only and non-anonymous, and make this account a member")
	errRoomUnfit     = errors.New("it is not both members-only and non-anonymous, so nobody is a member by it: let its owner set these two")
	errRoomPassword  = errors.New("it has a password: let its owner take that away, being a member is what admits an engine")
	errRoomNotMember = errors.New("this account is no member of it: let its owner make it one")
	errRoomNick      = errors.New("all nicknames that were tried are taken: trying again")
)

// newRoom returns a room whose lists are fetched anew at that age, or at roomRefresh if it is
// less; 0: at that.
func newRoom(jid, own string, refresh time.Duration) *room {
	if refresh == 0 || refresh > roomRefresh {
		refresh = roomRefresh
	}
	return &room{jid: jid, own: own, refresh: refresh, members: map[string]bool{}}
}

func (r *room) occupantJID() string { return r.jid + "/" + r.nick }

// chooseNick takes the account's name and what tells this session from others.
func (r *room) chooseNick() {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", r.own, r.tries))
	local, _, _ := strings.Cut(r.own, "@")
	r.nick = local + "-" + hex.EncodeToString(sum[:4])
}

// ask begins a step with a request.
func (r *room) ask(step roomStep, encode func(id string) ([]byte, error), now time.Time) []roomEffect {
	id := randomHex(8)
	b, err := encode(id)
	if err != nil { // an address that cannot be written
		return r.fail(err, false, now)
	}
	r.step, r.request, r.due = step, id, now.Add(roomTimeout)
	return []roomEffect{{stanza: b}}
}

// discover asks what the room is, which also keeps a server from making one for us.
func (r *room) discover(now time.Time) []roomEffect {
	return r.ask(roomDiscovering, func(id string) ([]byte, error) {
		return requestXML(stanza.IQTypeGet, r.jid, id, &discoQuery{})
	}, now)
}

func (r *room) fetchList(now time.Time) []roomEffect {
	return r.ask(roomListing, func(id string) ([]byte, error) {
		return listXML(r.jid, id, memberLists[r.list])
	}, now)
}

func (r *room) join(now time.Time) []roomEffect {
	r.chooseNick()
	r.step, r.request, r.due = roomJoining, "", now.Add(roomTimeout)
	return []roomEffect{{join: true}}
}

// tick is called when due has come.
func (r *room) tick(now time.Time) []roomEffect {
	if now.Before(r.due) {
		return nil
	}
	switch r.step {
	case roomStaying:
		if !now.Before(r.fresh) {
			return r.discover(now)
		}
		return r.ask(roomPinging, func(id string) ([]byte, error) {
			return requestXML(stanza.IQTypeGet, r.occupantJID(), id, &ping{})
		}, now)
	case roomListing: // too large an answer, perhaps
		return r.joined(false, now)
	case roomDiscovering, roomJoining, roomPinging:
		return r.fail(errRoomSilent, false, now)
	default:
		return r.discover(now)
	}
}

// fail gives the room up for a while. closed: nobody is a member by it.
func (r *room) fail(err error, closed bool, now time.Time) []roomEffect {
	var effects []roomEffect
	if r.in || r.step == roomJoining {
		if b, err := leaveXML(r.occupantJID()); err == nil {
			effects = append(effects, roomEffect{stanza: b})
		}
	}
	wait := roomRetry
	if closed {
		wait = roomRecheck
		clear(r.members)
	}
	r.in, r.step, r.request, r.tries, r.seen, r.due = false, roomIdle, "", 0, 0, now.Add(wait)
	return append(effects, roomEffect{change: &RoomChange{Err: err, Closed: closed}})
}

// answer takes the reply to the request under way; ok is false if it is none.
func (r *room) answer(q query, now time.Time) (effects []roomEffect, ok bool) {
	from := r.jid
	if r.step == roomPinging {
		from = r.occupantJID()
	}
	if r.request == "" || q.id != r.request || q.from != from {
		return nil, false
	}
	r.request = ""
	failed := q.typ != string(stanza.IQTypeResult)
	switch r.step {
	case roomDiscovering:
		return r.discovered(q, failed, now), true
	case roomListing:
		return r.gathered(q, failed, now), true
	default: // pinging
		return r.pinged(q, failed, now), true
	}
}

func (r *room) discovered(q query, failed bool, now time.Time) []roomEffect {
	if failed {
		return r.declined(q.fault, now)
	}
	features := map[string]bool{}
	if q.disco != nil {
		for _, f := range q.disco.Features {
			features[roomItem(f).attr("var")] = true
		}
	}
	switch {
	case !features["muc_membersonly"] || !features["muc_nonanonymous"]:
		return r.fail(errRoomUnfit, true, now)
	case features["muc_passwordprotected"] || features["muc_password"]:
		return r.fail(errRoomPassword, true, now)
	case !r.in:
		return r.join(now)
	}
	r.list, r.listed = 0, map[string]bool{}
	return r.fetchList(now)
}

// declined sorts what a room answers to discovery and join: what cannot be helped by
// waiting, and what an outage looks like.
func (r *room) declined(fault *nonza, now time.Time) []roomEffect {
	switch fault.condition() {
	case "item-not-found", "gone":
		return r.fail(errRoomGone, true, now)
	case "registration-required", "forbidden":
		return r.fail(errRoomNotMember, true, now)
	case "not-authorized":
		return r.fail(errRoomPassword, true, now)
	case "not-allowed", "jid-malformed":
		return r.fail(fmt.Errorf("the server declines: %s", faultText(fault)), true, now)
	case "conflict":
		if r.step == roomJoining && r.tries < maxNicks {
			r.tries++
			return r.join(now)
		}
		return r.fail(errRoomNick, false, now)
	}
	return r.fail(fmt.Errorf("it cannot be reached, its members stay as they were: %s", faultText(fault)), false, now)
}

// gathered takes one list of members.
func (r *room) gathered(q query, failed bool, now time.Time) []roomEffect {
	if failed || q.list == nil {
		return r.joined(false, now)
	}
	for _, i := range q.list.Items {
		if jid := bareOf(i.attr("jid")); i.attr("affiliation") == memberLists[r.list] && validBare(jid) && len(r.listed) < maxRoster {
			r.listed[jid] = true
		}
	}
	if r.list++; r.list < len(memberLists) {
		return r.fetchList(now)
	}
	return r.joined(r.listed[bareOf(r.own)], now) // else the room keeps something back
}

// joined ends the join, with all the lists or without.
func (r *room) joined(complete bool, now time.Time) []roomEffect {
	r.step, r.request, r.due, r.fresh = roomStaying, "", now.Add(r.nextPing()), now.Add(r.refresh)
	if r.complete = complete; complete {
		r.members = r.listed
	}
	r.listed = nil
	return []roomEffect{{change: &RoomChange{Members: slices.Sorted(maps.Keys(r.members)), Complete: complete}}}
}

// pinged takes the answer of the room, or of ourselves, to a ping of ourselves
// (XEP-0410, section 3.2).
func (r *room) pinged(q query, failed bool, now time.Time) []roomEffect {
	if failed {
		switch q.fault.condition() {
		case "service-unavailable", "feature-not-implemented", "item-not-found":
		default:
			r.in = false // so it says
			return append(r.fail(errRoomLost, false, now), r.discover(now)...)
		}
	}
	r.step, r.due = roomStaying, now.Add(r.nextPing())
	return nil
}

// nextPing is how long a room is left alone in which we stay.
func (r *room) nextPing() time.Duration { return min(roomPing, r.refresh) }
