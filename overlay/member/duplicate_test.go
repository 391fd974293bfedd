package member

import (
	"context"
	"crypto/ed25519"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/sirupsen/logrus/hooks/test"
)

// engine is one of two that have the same key.
type engine struct {
	book    *Book
	service *Service
	full    string
	other   *engine // nil: nobody hears
	lines   *test.Hook
	hears   func(from string, payload []byte)

	mu   sync.Mutex
	sent [][]byte
}

func (*engine) SetExtension([]byte) {}
func (*engine) Check()              {}

func (e *engine) Send(_ context.Context, to string, payload []byte) error {
	e.mu.Lock()
	e.sent = append(e.sent, payload)
	e.mu.Unlock()
	if o := e.other; o != nil && o.full == to {
		o.hears(e.full, payload)
	}
	return nil
}

func newEngine(t *testing.T, key ed25519.PrivateKey, full string, started time.Time) *engine {
	t.Helper()
	logger, hook := test.NewNullLogger()
	e := &engine{full: full, lines: hook}
	var err error
	if e.book, err = Open(Config{Dir: filepath.Join(t.TempDir(), "pins"), Key: key, Started: started, Log: logrus.NewEntry(logger)}); err != nil {
		t.Fatal(err)
	}
	if e.service, err = e.book.Service(bare(full), map[string]string{AnyOverlay: "roster"}); err != nil {
		t.Fatal(err)
	}
	e.hears = e.service.Message
	e.service.Attach(e)
	e.book.Join("blue", make(chan struct{}, 1), func(Member, []byte) {})
	e.service.Up(full)
	e.service.Roster(roster("b@example.net", "a2@example.net", "a1@example.net"))
	appear(e.service, "b@example.net/1", ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), "blue")
	return e
}

// questions is what it has sent so far.
func (e *engine) questions() [][]byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.sent)
}

func (e *engine) sees(o *engine) {
	appear(e.service, o.full, e.book.key, "blue")
}

func (e *engine) errors() (n int) {
	for _, l := range e.lines.AllEntries() {
		if l.Level.String() == "error" {
			n++
		}
	}
	return n
}

func TestLaterDuplicateStops(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	for _, test := range []struct {
		name         string
		older, newer string
		gap          time.Duration
		oneWay       bool
	}{
		{"one account", "a1@example.net/x", "a1@example.net/y", time.Hour, false},
		{"two accounts", "a1@example.net/x", "a2@example.net/x", time.Millisecond, false},
		{"same millisecond", "a1@example.net/x", "a1@example.net/y", 0, false},
		{"seen by the older only", "a1@example.net/x", "a2@example.net/y", time.Second, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, key, err := ed25519.GenerateKey(nil)
				if err != nil {
					t.Fatal(err)
				}
				older, newer := newEngine(t, key, test.older, now), newEngine(t, key, test.newer, now.Add(test.gap))
				older.other, newer.other = newer, older
				older.sees(newer)
				if !test.oneWay {
					newer.sees(older)
				}
				if got := newer.book.Members("blue"); len(got) != 0 {
					t.Errorf("the later one goes on: %v", got)
				}
				if got := newer.book.Faults(); len(got) != 1 || !strings.Contains(got[0], "remove identity.pem") || !strings.Contains(got[0], older.full) {
					t.Errorf("faults of the later one: %q", got)
				}
				if got := older.book.Members("blue"); len(got) != 1 || len(older.book.Faults()) != 0 {
					t.Errorf("the earlier one: members %v, faults %q", got, older.book.Faults())
				}
				if older.errors() != 1 || newer.errors() < 1 {
					t.Errorf("%d and %d errors in the logs", older.errors(), newer.errors())
				}
				if _, err := newer.service.sender("blue", "b@example.net/1"); err == nil {
					t.Error("the later one still hears members")
				}
				<-time.After(5 * askAgain)
				if older.errors() != 1 {
					t.Errorf("told %d times", older.errors())
				}
				older.service.Down(context.Canceled)
				newer.service.Down(context.Canceled)
			})
		})
	}
}

// TestLeftOverIsNoDuplicate asks a presence that nobody is behind.
func TestLeftOverIsNoDuplicate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		e := newEngine(t, key, "a1@example.net/new", time.Now())
		left := &engine{full: "a1@example.net/old"}
		e.sees(left)
		e.sees(left)
		<-time.After(10*askAgain + time.Second)
		if asked := e.questions(); len(asked) != 11 || string(asked[0]) == string(asked[1]) {
			t.Errorf("asked %d times in 5 minutes", len(asked))
		}
		e.service.Presence(left.full, false, nil)
		<-time.After(10 * askAgain)
		if asked := e.questions(); len(asked) != 11 || len(e.book.Members("blue")) != 1 || e.errors() != 0 {
			t.Errorf("asked %d times, members %v, %d errors", len(asked), e.book.Members("blue"), e.errors())
		}
	})
}

// TestForgedDuplicate lets others try to stop an engine.
func TestForgedDuplicate(t *testing.T) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, wrong, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	e := newEngine(t, key, "a1@example.net/x", time.Now())
	duplicate := &engine{full: "a1@example.net/y"}
	e.sees(duplicate)
	asked, err := parseDuplicateMessage(e.questions()[0], e.book.self, e.full, duplicate.full)
	if err != nil {
		t.Fatal(err)
	}
	old := time.UnixMilli(1000)
	answer := duplicateMessage{kind: duplicateAnswer, nonce: asked.nonce, start: old}
	for name, m := range map[string]struct {
		from    string
		payload []byte
	}{
		"signed by another key":    {duplicate.full, answer.encode(wrong, duplicate.full, e.full)},
		"another nonce":            {duplicate.full, duplicateMessage{kind: duplicateAnswer, start: old}.encode(key, duplicate.full, e.full)},
		"of another resource":      {"a1@example.net/z", answer.encode(key, duplicate.full, e.full)},
		"for another connection":   {duplicate.full, answer.encode(key, duplicate.full, "a1@example.net/w")},
		"own question sent back":   {duplicate.full, e.questions()[0]},
		"unknown kind":             {duplicate.full, duplicateMessage{kind: 3, nonce: asked.nonce, start: old}.encode(key, duplicate.full, e.full)},
		"stranger with a question": {"m@evil.net/1", duplicateMessage{kind: duplicateQuestion, start: old}.encode(key, "m@evil.net/1", e.full)},
		"cut short":                {duplicate.full, answer.encode(key, duplicate.full, e.full)[:80]},
	} {
		before, sent := e.service.Strangers(), len(e.questions())
		e.service.Message(m.from, m.payload)
		if e.service.Strangers() != before+1 || len(e.questions()) != sent || len(e.book.Faults()) != 0 {
			t.Errorf("%s: %d counted, %d sent, faults %q", name, e.service.Strangers()-before, len(e.questions())-sent, e.book.Faults())
		}
	}
	e.service.Down(context.Canceled)
}

func TestOwnOtherAccountIsNoDuplicate(t *testing.T) {
	f := newFixture(t)
	other := f.serve(t, "c@example.org", map[string]string{"red": "roster"})
	other.Up("c@example.org/evio-1")
	f.service.Up("a@example.net/evio-1")
	f.service.Roster(roster("c@example.org"))
	appear(f.service, "c@example.org/evio-1", f.book.key, "red")
	if len(f.session.sent) != 0 {
		t.Errorf("asked itself: %v", f.session.sent)
	}
}

func FuzzDuplicateMessage(f *testing.F) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	public := ed25519.PublicKey(key[32:])
	f.Add(duplicateMessage{kind: duplicateQuestion, start: time.UnixMilli(1)}.encode(key, "a@b/c", "d@e/f"))
	f.Add([]byte(duplicateMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseDuplicateMessage(b, public, "a@b/c", "d@e/f")
		if err != nil {
			return
		}
		if string(m.encode(key, "a@b/c", "d@e/f")) != string(b) {
			t.Fatalf("%+v is not what came", m)
		}
	})
}
