package member

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
	"github.com/sirupsen/logrus/hooks/test"

	"evio/overlay/identity"
	"evio/overlay/nodeid"
	"evio/overlay/signal"
)

func quiet() *logrus.Entry {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return logrus.NewEntry(l)
}

func newKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// session stands for the signalling session: it keeps what it was given.
type session struct {
	ext      []byte
	sent     []string // addresses
	payloads [][]byte
	checks   int
}

func (s *session) Check() { s.checks++ }

func (s *session) SetExtension(ext []byte) { s.ext = ext }
func (s *session) Send(_ context.Context, to string, payload []byte) error {
	s.sent = append(s.sent, to)
	s.payloads = append(s.payloads, payload)
	return nil
}

// fixture is a book with one service for every overlay, in overlay "blue".
type fixture struct {
	sleeper
	book    *Book
	service *Service
	session *session
	changed chan struct{}
	got     []Member
	dir     string
	self    ed25519.PublicKey
}

func newFixture(t *testing.T) *fixture { return newFixtureFor(t, "roster") }

// newFixtureFor has the members that from says.
func newFixtureFor(t *testing.T, from string) *fixture {
	t.Helper()
	key := newKey(t)
	f := &fixture{session: &session{}, changed: make(chan struct{}, 1), dir: filepath.Join(t.TempDir(), "pins"), self: identity.Public(key)}
	var err error
	if f.book, err = Open(Config{Dir: f.dir, Key: key, Log: quiet()}); err != nil {
		t.Fatal(err)
	}
	f.service = f.serve(t, "A@example.net", map[string]string{AnyOverlay: from})
	f.service.Attach(f.session)
	f.book.Join("blue", f.changed, func(m Member, _ []byte) { f.got = append(f.got, m) })
	return f
}

// reopen is what a restart of the plugin does.
func (f *fixture) reopen(t *testing.T) {
	t.Helper()
	var err error
	if f.book, err = Open(Config{Dir: f.dir, Key: f.book.key, Log: quiet()}); err != nil {
		t.Fatal(err)
	}
	f.service = f.serve(t, "A@example.net", map[string]string{AnyOverlay: "roster"})
	f.service.Attach(f.session)
	f.book.Join("blue", f.changed, func(m Member, _ []byte) { f.got = append(f.got, m) })
}

func (f *fixture) serve(t *testing.T, jid string, overlays map[string]string) *Service {
	t.Helper()
	s, err := f.book.Service(jid, overlays)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func roster(jids ...string) []signal.Item {
	var items []signal.Item
	for _, j := range jids {
		items = append(items, signal.Item{JID: j, Subscription: "both"})
	}
	return items
}

// announcement is the extension of the engine with the key, for its account.
func announcement(key ed25519.PrivateKey, jid string, overlays ...string) []byte {
	e := extension{Key: identity.Public(key), Proof: proofFor(jid, key)}
	for _, o := range overlays {
		e.Nodes = append(e.Nodes, nodeid.FromKey(e.Key, o))
	}
	return e.encode()
}

// appear shows a service an honest engine.
func appear(s *Service, full string, key ed25519.PrivateKey, overlays ...string) {
	s.Presence(full, true, announcement(key, bare(full), overlays...))
}

func TestMembersFollowRosterAndPresence(t *testing.T) {
	f := newFixture(t)
	key := newKey(t)
	f.service.Roster(roster("b@example.net"))
	if got := f.book.Members("blue"); len(got) != 0 {
		t.Fatalf("a member without a known identity: %v", got)
	}
	appear(f.service, "b@example.net/evio-1", key, "blue")
	got := f.book.Members("blue")
	if len(got) != 1 || got[0].Node != nodeid.FromKey(identity.Public(key), "blue") || !got[0].Online {
		t.Fatalf("after presence: %+v", got)
	}
	if err := got[0].Send(t.Context(), []byte("x")); err != nil || f.session.sent[0] != "b@example.net/evio-1" {
		t.Fatalf("send: %v to %v", err, f.session.sent)
	}
	f.service.Presence("b@example.net/evio-1", false, nil)
	if got := f.book.Members("blue"); len(got) != 1 || got[0].Online {
		t.Fatalf("unavailable presence must cost the line, not the membership: %+v", got)
	}
	f.service.Roster(nil)
	if got := f.book.Members("blue"); len(got) != 0 {
		t.Fatalf("still a member after its removal from the roster: %+v", got)
	}
}

func TestOutageKeepsMembers(t *testing.T) {
	f := newFixture(t)
	f.service.Roster(roster("b@example.net"))
	appear(f.service, "b@example.net/1", newKey(t), "blue")
	f.service.Down(io.EOF)
	if got := f.book.Members("blue"); len(got) != 1 || got[0].Online {
		t.Fatalf("after the loss of the server: %+v", got)
	}
}

func TestOtherOverlaysAreNotOnline(t *testing.T) {
	f := newFixture(t)
	f.service.Roster(roster("b@example.net"))
	appear(f.service, "b@example.net/1", newKey(t), "green")
	if got := f.book.Members("blue"); len(got) != 1 || got[0].Online {
		t.Fatalf("a member of green counts as online in blue: %+v", got)
	}
}

func TestRefused(t *testing.T) {
	f := newFixture(t)
	f.service.Roster(roster("b@example.net"))
	first := newKey(t)
	appear(f.service, "b@example.net/1", first, "blue")
	for name, c := range map[string]struct {
		from string
		ext  []byte
		want string
	}{
		"changed identity": {"b@example.net/2", announcement(newKey(t), "b@example.net", "blue"), "run: evio peers accept b@example.net"},
		"own identity":     {"b@example.net/2", announcement(f.book.key, "b@example.net", "blue"), "is a copy"},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := parseExtension(c.ext)
			if err != nil {
				t.Fatal(err)
			}
			if err := f.service.admit(bare(c.from), c.from, e); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("admit: %v, want %q", err, c.want)
			}
			f.service.Presence(c.from, true, c.ext)
			got := f.book.Members("blue")
			if len(got) != 1 || !got[0].Key.Equal(first.Public()) {
				t.Errorf("members: %+v", got)
			}
		})
	}
}

func TestStrangersAreCountedAndNothingElse(t *testing.T) {
	f := newFixture(t)
	f.service.Roster(roster("b@example.net"))
	drain(f.changed)
	for range 3 {
		appear(f.service, "mallory@example.net/1", newKey(t), "blue")
	}
	if len(f.book.Members("blue")) != 0 || f.service.Strangers() != 3 {
		t.Errorf("members %v, %d strangers", f.book.Members("blue"), f.service.Strangers())
	}
	if drain(f.changed) {
		t.Error("a stranger's presence makes every overlay look at its members")
	}
}

func drain(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestPinOutlivesMembership: who leaves all lists and comes back with another identity is
// refused as if it had been there all the time.
func TestPinOutlivesMembership(t *testing.T) {
	f := newFixture(t)
	other := f.serve(t, "c@example.org", map[string]string{"blue": "roster"})
	key := newKey(t)
	for _, s := range []*Service{f.service, other} {
		s.Roster(roster("b@example.net"))
		appear(s, "b@example.net/1", key, "blue")
	}
	f.service.Roster(nil)
	if got := f.book.Members("blue"); len(got) != 1 || !got[0].Online {
		t.Errorf("removed from one roster, it is no member by the other: %+v", got)
	}
	appear(other, "b@example.net/2", newKey(t), "blue")
	if got := f.book.Members("blue"); len(got) != 1 || !got[0].Key.Equal(key.Public()) {
		t.Errorf("another identity was taken: %+v", got)
	}
	other.Roster(nil)
	if got := f.book.Members("blue"); len(got) != 0 {
		t.Errorf("still a member: %+v", got)
	}
	for _, s := range []*Service{f.service, other} {
		s.Roster(roster("b@example.net"))
		appear(s, "b@example.net/3", newKey(t), "blue")
	}
	if got := f.book.Members("blue"); len(got) != 1 || !got[0].Key.Equal(key.Public()) || got[0].Online {
		t.Errorf("back with another identity: %+v", got)
	}
	if got := f.book.Faults(); len(got) != 1 || !strings.Contains(got[0], "b@example.net shows another identity") {
		t.Errorf("faults %q", got)
	}
	f.service.Presence("b@example.net/3", false, nil)
	other.Presence("b@example.net/3", false, nil)
	appear(other, "b@example.net/4", key, "blue")
	if got := f.book.Members("blue"); len(got) != 1 || !got[0].Online || len(f.book.Faults()) != 0 {
		t.Errorf("back with its own: %+v, faults %q", got, f.book.Faults())
	}
}

func TestSecondEngineOnOneAccountIsToldOnce(t *testing.T) {
	f := newFixture(t)
	logger, hook := test.NewNullLogger()
	f.service.log = logrus.NewEntry(logger)
	key := newKey(t)
	for range 3 {
		f.service.Presence("a@example.net/phone", true, nil)
		appear(f.service, "a@example.net/evio-2", key, "blue")
	}
	if got := len(hook.AllEntries()); got != 1 {
		t.Errorf("%d log lines, want 1", got)
	}
	if got := f.book.Faults(); len(got) != 1 || !strings.Contains(got[0], "give each engine an account of its own") {
		t.Errorf("faults %q", got)
	}
	f.service.Presence("a@example.net/evio-2", false, nil)
	if got := f.book.Faults(); len(got) != 0 {
		t.Errorf("faults after it has left: %q", got)
	}
}

func TestPinsOutliveTheProcess(t *testing.T) {
	f := newFixture(t)
	key := newKey(t)
	f.service.Roster(roster("b@example.net"))
	appear(f.service, "b@example.net/1", key, "blue")
	again, err := openPins(f.dir, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := again.get("b@example.net"); !ok || !got.Equal(key.Public()) {
		t.Fatalf("pin after a restart: %v %v", got, ok)
	}
	path := pinPath(again, "b@example.net")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err = openPins(f.dir, quiet())
	if err != nil {
		t.Fatalf("a damaged pin is fatal: %v", err)
	}
	if _, ok := again.get("b@example.net"); ok {
		t.Error("a damaged pin was used")
	}
	if len(setAside(t, path)) != 1 {
		t.Error("the damaged pin was not set aside")
	}
}

// TestDamagedPinRefuses: whatever an account shows whose pin is damaged, it is no member until
// an operator accepts it, over restarts too.
func TestDamagedPinRefuses(t *testing.T) {
	for _, end := range []string{"accept", "forget"} {
		t.Run(end, func(t *testing.T) {
			f := newFixture(t)
			key := newKey(t)
			f.service.Roster(roster("b@example.net"))
			appear(f.service, "b@example.net/1", key, "blue")
			if err := os.WriteFile(pinPath(f.book.pins, "b@example.net"), []byte("{"), 0o600); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				f.reopen(t)
				f.service.Roster(roster("b@example.net"))
				if got := f.book.Faults(); len(got) != 1 || !strings.Contains(got[0], "is refused until its identity is accepted") {
					t.Fatalf("before it is online: faults %q", got)
				}
				appear(f.service, "b@example.net/1", key, "blue")
				if got := f.book.Members("blue"); len(got) != 0 {
					t.Fatalf("members %+v", got)
				}
				if got := f.book.Faults(); len(got) != 2 || !strings.HasPrefix(got[1], "b@example.net is refused, because the pin of its identity is damaged") {
					t.Fatalf("faults %q", got)
				}
				want := Fingerprint(identity.Public(key))
				if p := f.book.Peers(); len(p) != 1 || p[0].JID != "b@example.net" || p[0].Identity != "" || p[0].Offered != want {
					t.Fatalf("peers %+v", p)
				}
			}
			if end == "forget" {
				if err := f.book.Forget("b@example.net"); err != nil {
					t.Fatal(err)
				}
			} else if err := f.book.Accept("b@example.net", Fingerprint(identity.Public(key))); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if got := f.book.Members("blue"); len(got) != 1 || !got[0].Online || len(f.book.Faults()) != 0 {
					t.Errorf("members %+v, faults %q", got, f.book.Faults())
				}
				f.reopen(t)
				f.service.Roster(roster("b@example.net"))
				appear(f.service, "b@example.net/1", key, "blue")
			}
		})
	}
}

// TestPinsAreBounded: a server that lists new accounts all day fills neither disk nor memory,
// and does not push out a pin.
func TestPinsAreBounded(t *testing.T) {
	p, err := openPins(t.TempDir(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	key := identity.Public(newKey(t))
	for i := range maxPins {
		p.known[fmt.Sprintf("b%d@example.net", i)] = pin{key: key}
	}
	if err := p.check("new@example.net", key); err == nil || !strings.Contains(err.Error(), "evio peers forget") {
		t.Errorf("one more: %v", err)
	}
	if err := p.check("b0@example.net", key); err != nil {
		t.Errorf("a pinned one: %v", err)
	}
	if got := p.faults(); len(got) != 1 || len(p.known) != maxPins || p.offered.Len() != 0 {
		t.Errorf("faults %q, %d pins, %d offers", got, len(p.known), p.offered.Len())
	}
}

// TestRefusalsAreToldOnce: an account that is taken out of the list and put back all the time
// does not fill the log.
func TestRefusalsAreToldOnce(t *testing.T) {
	f := newFixture(t)
	logger, hook := test.NewNullLogger()
	logger.SetLevel(logrus.WarnLevel) //nolint:forbidigo // the test's own
	f.service.log = logrus.NewEntry(logger)
	f.service.Roster(roster("b@example.net"))
	appear(f.service, "b@example.net/1", newKey(t), "blue")
	for range 100 {
		f.service.Roster(nil)
		f.service.Roster(roster("b@example.net"))
		appear(f.service, "b@example.net/2", newKey(t), "blue")
	}
	if got := len(hook.AllEntries()); got != 1 {
		t.Errorf("%d log lines, want 1", got)
	}
}

func TestExtensionNamesServedOverlays(t *testing.T) {
	f := newFixture(t)
	leave := f.book.Join("green", make(chan struct{}, 1), nil)
	e, err := parseExtension(f.session.ext)
	if err != nil || len(e.Nodes) != 2 || !e.Key.Equal(f.self) || e.proves("a@example.net") != nil {
		t.Fatalf("extension %+v, %v", e, err)
	}
	leave()
	if e, err = parseExtension(f.session.ext); err != nil || len(e.Nodes) != 1 {
		t.Fatalf("after leaving: %+v, %v", e, err)
	}
	named := f.serve(t, "c@example.org", map[string]string{"blue": "roster"})
	other := &session{}
	named.Attach(other)
	if e, err = parseExtension(f.session.ext); err != nil || len(e.Nodes) != 0 {
		t.Fatalf("blue is still announced where another service is named for it: %+v, %v", e, err)
	}
	if e, err = parseExtension(other.ext); err != nil || len(e.Nodes) != 1 || e.proves("c@example.org") != nil {
		t.Fatalf("the named service does not announce blue: %+v, %v", e, err)
	}
}
