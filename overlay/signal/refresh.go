package signal

import (
	"slices"
	"time"

	"gosrc.io/xmpp/stanza"
)

// refresh is when the roster is fetched anew while the session stands. A server tells of
// each change; that it gives the whole roster confirms that none was missed. The reader
// drives it, as it does the rooms.
type refresh struct {
	every    time.Duration // 0: never
	due      time.Time
	requests []string // ids of the last ones that are not answered, the oldest first
}

// unanswered is how many requests for the roster may wait for their answer: a server that
// takes longer than one interval confirms it all the same. The answer to an older one is not
// taken: it could be half as old as the list may get.
const unanswered = 4

// tickRoster asks for the roster if that is due.
func (s *session) tickRoster(now time.Time) {
	if s.fetching.every == 0 || now.Before(s.fetching.due) {
		return
	}
	s.fetching.due = now.Add(s.fetching.every)
	id := randomHex(8)
	s.fetching.requests = append(s.fetching.requests, id)
	if n := len(s.fetching.requests); n > unanswered {
		s.fetching.requests = s.fetching.requests[n-unanswered:]
	}
	s.reply(requestXML(stanza.IQTypeGet, "", id, &stanza.RosterItems{}))
}

// rosterAnswer takes the whole roster; a server that declines has confirmed nothing.
func (s *session) rosterAnswer(q query, own bool) bool {
	i := slices.Index(s.fetching.requests, q.id)
	if !own || i < 0 {
		return false
	}
	s.fetching.requests = slices.Delete(s.fetching.requests, i, i+1)
	if q.typ != string(stanza.IQTypeResult) || q.roster == nil {
		s.client.log.Debugf("the server does not give the roster again: %s", faultText(q.fault))
		return true
	}
	s.setRoster(newRoster(q.roster))
	return true
}

// setRoster hands up the roster and lets those in it see us who asked for that.
func (s *session) setRoster(r roster) {
	s.roster = r
	for _, jid := range s.asking.nowIn(r) {
		s.reply(subscribedXML(jid))
	}
	s.client.handler.Roster(r.items())
}
