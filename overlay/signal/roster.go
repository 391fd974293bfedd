package signal

import (
	"maps"
	"slices"

	"gosrc.io/xmpp/stanza"
)

// maxRoster bounds the contacts that roster pushes can pile up.
const maxRoster = 8192

// maxAskers bounds the strangers whose subscription requests are remembered.
const maxAskers = 256

// roster is the account's contacts by bare JID.
type roster map[string]Item

// newRoster takes the reply to a roster request; nil is an empty roster.
func newRoster(reply *stanza.RosterItems) roster {
	r := roster{}
	if reply != nil {
		for _, i := range reply.Items {
			r.put(i)
		}
	}
	return r
}

// push applies a roster push (RFC 6121, section 2.1.6) and reports whether it is a
// valid one: exactly one contact.
func (r roster) push(p *stanza.RosterItems) bool {
	if p == nil || len(p.Items) != 1 {
		return false
	}
	if p.Items[0].Subscription == "remove" {
		delete(r, p.Items[0].Jid)
		return true
	}
	return r.put(p.Items[0])
}

func (r roster) put(i stanza.RosterItem) bool {
	if _, err := parseJID(i.Jid); err != nil || bareOf(i.Jid) != i.Jid {
		return false
	}
	if _, known := r[i.Jid]; !known && len(r) >= maxRoster {
		return false
	}
	subscription := i.Subscription
	switch subscription {
	case stanza.SubscriptionTo, stanza.SubscriptionFrom, stanza.SubscriptionBoth:
	default:
		subscription = stanza.SubscriptionNone
	}
	r[i.Jid] = Item{JID: i.Jid, Subscription: subscription, Groups: slices.Clone(i.Groups)}
	return true
}

// items is the roster as it is handed up; the caller may keep it.
func (r roster) items() []Item {
	items := make([]Item, 0, len(r))
	for _, jid := range slices.Sorted(maps.Keys(r)) {
		i := r[jid]
		i.Groups = slices.Clone(i.Groups)
		items = append(items, i)
	}
	return items
}

// askers are who asked for our presence without being in the roster. A server
// delivers a request once, so one that came before the operator added the contact
// must be remembered. Of too many the first are: strangers cannot push out one that waits,
// and whoever is left out asks again with this account's next session.
type askers struct{ first []string }

func (a *askers) note(jid string) {
	if _, err := parseJID(jid); err != nil || len(a.first) >= maxAskers || slices.Contains(a.first, jid) {
		return
	}
	a.first = append(a.first, jid)
}

// nowIn returns, and forgets, those who have come into the roster.
func (a *askers) nowIn(r roster) []string {
	var found []string
	a.first = slices.DeleteFunc(a.first, func(jid string) bool {
		_, in := r[jid]
		if in {
			found = append(found, jid)
		}
		return in
	})
	return found
}
