package member

import (
	"crypto/ed25519"
	"fmt"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
	"github.com/sirupsen/logrus/hooks/test"

	"evio/overlay/identity"
	"evio/overlay/nodeid"
)

func TestAccept(t *testing.T) {
	f := newFixture(t)
	logger, hook := test.NewNullLogger()
	f.service.log = logrus.NewEntry(logger)
	first, second := newKey(t), newKey(t)
	f.service.Roster(roster("b@example.net"))
	appear(f.service, "b@example.net/1", first, "blue")
	if err := f.book.Accept("b@example.net", Fingerprint(identity.Public(second))); err == nil || !strings.Contains(err.Error(), "nothing to accept") {
		t.Errorf("accept without an offer: %v", err)
	}
	for range 3 {
		appear(f.service, "b@example.net/2", second, "blue")
	}
	lines := hook.AllEntries()
	if len(lines) != 1 || !strings.Contains(lines[0].Data["error"].(error).Error(), "run: evio peers accept b@example.net IDENTITY") {
		t.Errorf("log %v", lines)
	}
	if told := fmt.Sprint(lines[0].Message, lines[0].Data, f.book.Faults()); strings.Contains(told, Fingerprint(identity.Public(second))) {
		t.Errorf("the identity of who is refused is there to be pasted: %s", told)
	}
	if got := f.book.Faults(); len(got) != 1 || !strings.HasPrefix(got[0], "b@example.net shows another identity than "+Fingerprint(identity.Public(first))) {
		t.Errorf("faults %q", got)
	}
	p := f.book.Peers()
	if len(p) != 1 || p[0].Identity != Fingerprint(identity.Public(first)) || p[0].Offered != Fingerprint(identity.Public(second)) || p[0].OfferedSince.IsZero() {
		t.Fatalf("peers %+v", p)
	}
	drain(f.changed)
	if err := f.book.Accept("B@example.net", ""); err == nil || !strings.Contains(err.Error(), "not through this XMPP server, the identity that evio status prints there") {
		t.Errorf("accept without an identity: %v", err)
	}
	if err := f.book.Accept("B@example.net", Fingerprint(identity.Public(second))); err != nil {
		t.Fatal(err)
	}
	if got := f.book.Faults(); len(got) != 1 { // the connection that showed the first one is still there
		t.Errorf("faults %q", got)
	}
	f.service.Presence("b@example.net/1", false, nil)
	if got := f.book.Faults(); len(got) != 0 {
		t.Errorf("faults %q", got)
	}
	got := f.book.Members("blue")
	if len(got) != 1 || !got[0].Key.Equal(second.Public()) || !got[0].Online || got[0].full != "b@example.net/2" || !drain(f.changed) {
		t.Errorf("after accept: %+v", got)
	}
	again, err := openPins(f.dir, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if key, _ := again.get("b@example.net"); !key.Equal(second.Public()) {
		t.Error("what was accepted is not on disk")
	}
	if p := f.book.Peers(); p[0].Offered != "" || p[0].Identity != Fingerprint(identity.Public(second)) {
		t.Errorf("peers %+v", p)
	}
}

// Who shows another identity than the one that the operator has seen is not let in.
func TestAcceptIdentity(t *testing.T) {
	f := newFixture(t)
	first, seen, other := newKey(t), newKey(t), newKey(t)
	want := Fingerprint(identity.Public(seen))
	f.service.Roster(roster("b@example.net"))
	appear(f.service, "b@example.net/1", first, "blue")
	appear(f.service, "b@example.net/2", seen, "blue")
	appear(f.service, "b@example.net/3", other, "blue")
	err := f.book.Accept("b@example.net", want)
	if err == nil || !strings.Contains(err.Error(), Fingerprint(identity.Public(other))+" by now, not "+want) {
		t.Errorf("another identity: %v", err)
	}
	if p := f.book.Peers(); p[0].Identity != Fingerprint(identity.Public(first)) || p[0].Offered == "" {
		t.Errorf("peers %+v", p)
	}
	appear(f.service, "b@example.net/2", seen, "blue")
	if err := f.book.Accept("b@example.net", want); err != nil {
		t.Errorf("the identity: %v", err)
	}
	if err := f.book.Accept("b@example.net", want); err == nil {
		t.Error("nothing is offered, and it is accepted")
	}
	if p := f.book.Peers(); p[0].Identity != want || p[0].Offered != "" {
		t.Errorf("peers %+v", p)
	}
}

func TestForget(t *testing.T) {
	f := newFixture(t)
	first, second := newKey(t), newKey(t)
	f.service.Roster(roster("b@example.net"))
	if err := f.book.Forget("b@example.net"); err == nil || !strings.Contains(err.Error(), "evio peers list") {
		t.Errorf("forget without a pin: %v", err)
	}
	appear(f.service, "b@example.net/1", first, "blue")
	f.service.Presence("b@example.net/1", false, nil)
	if err := f.book.Forget("b@example.net"); err != nil {
		t.Fatal(err)
	}
	if p := f.book.Peers(); len(p) != 0 {
		t.Errorf("peers %+v", p)
	}
	appear(f.service, "b@example.net/2", second, "blue")
	appear(f.service, "b@example.net/3", first, "blue")
	if got := f.book.Members("blue"); len(got) != 1 || !got[0].Key.Equal(second.Public()) {
		t.Fatalf("the next identity is not pinned: %+v", got)
	}
	if err := f.book.Forget("b@example.net"); err != nil {
		t.Fatal(err)
	}
	if got := f.book.Members("blue"); len(got) != 1 || !got[0].Key.Equal(first.Public()) || !got[0].Online {
		t.Errorf("the identity shown now is not pinned: %+v", got)
	}
}

func TestOffersAreBounded(t *testing.T) {
	p, err := openPins(t.TempDir(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	key, other := identity.Public(newKey(t)), identity.Public(newKey(t))
	for i := range maxOffered + 3 {
		jid := "b" + strings.Repeat("x", i) + "@x"
		p.known[jid] = pin{key: key}
		if p.check(jid, other) == nil {
			t.Fatal("another identity was taken")
		}
	}
	if p.offered.Len() != maxOffered {
		t.Errorf("%d offers, want %d", p.offered.Len(), maxOffered)
	}
}

func TestSuspect(t *testing.T) {
	f := newFixture(t)
	f.serve(t, "c@example.org", map[string]string{"blue": "roster"}) // not attached yet
	f.book.Suspect()
	if f.session.checks != 1 {
		t.Errorf("%d checks", f.session.checks)
	}
}

// TestNode: an account has the node of its pinned identity, and the own one that of this
// engine, whoever is a member.
func TestNode(t *testing.T) {
	f := newFixture(t)
	if _, ok := f.book.Node("blue", "b@example.net"); ok {
		t.Error("an account without a pin has a node")
	}
	first := newKey(t)
	f.service.Roster(roster("b@example.net"))
	appear(f.service, "b@example.net/1", first, "blue")
	for jid, key := range map[string]ed25519.PrivateKey{"B@example.net": first, "a@Example.net": f.book.key} {
		want := nodeid.FromKey(identity.Public(key), "blue")
		if got, ok := f.book.Node("blue", jid); !ok || got != want {
			t.Errorf("%s: %v, %v, want %v", jid, got, ok, want)
		}
	}
}
