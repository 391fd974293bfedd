package signal

import (
	"fmt"
	"slices"
	"testing"

	"gosrc.io/xmpp/stanza"
)

func pushOf(jid string) *stanza.RosterItems {
	return &stanza.RosterItems{Items: []stanza.RosterItem{{Jid: jid}}}
}

func TestRosterIsBounded(t *testing.T) {
	r := newRoster(nil)
	for i := range maxRoster + 10 {
		if got, want := r.push(pushOf(fmt.Sprintf("c%d@evio.test", i))), i < maxRoster; got != want {
			t.Fatalf("push %d: %v", i, got)
		}
	}
	if !r.push(pushOf("c0@evio.test")) {
		t.Error("a known contact could not be changed in a full roster")
	}
}

func TestAskers(t *testing.T) {
	a := askers{} // whom strangers come after
	for i := range maxAskers + 10 {
		a.note(fmt.Sprintf("c%d@evio.test", i))
		a.note("not a JID")
	}
	if len(a.first) != maxAskers {
		t.Errorf("%d remembered, want %d", len(a.first), maxAskers)
	}
	r := newRoster(nil)
	r.push(pushOf("c0@evio.test")) // nobody has pushed it out
	r.push(pushOf(fmt.Sprintf("c%d@evio.test", maxAskers)))
	r.push(pushOf("d@evio.test"))
	if got := a.nowIn(r); !slices.Equal(got, []string{"c0@evio.test"}) {
		t.Errorf("got %q", got)
	}
	if got := a.nowIn(r); len(got) != 0 {
		t.Errorf("again %q", got)
	}
}

func TestItemsAreTheCallers(t *testing.T) {
	r := newRoster(&stanza.RosterItems{Items: []stanza.RosterItem{
		{Jid: "b@evio.test", Subscription: "both", Groups: []string{"g"}},
		{Jid: "a@evio.test", Subscription: "whatever"},
		{Jid: "a@evio.test/full"},
		{Jid: ""},
	}})
	items := r.items()
	if len(items) != 2 || items[0].JID != "a@evio.test" || items[0].Subscription != "none" {
		t.Fatalf("got %+v", items)
	}
	items[1].Groups[0] = "changed"
	if got := r.items()[1].Groups[0]; got != "g" {
		t.Errorf("the roster changed with its copy: %q", got)
	}
}
