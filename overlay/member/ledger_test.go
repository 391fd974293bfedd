package member

import (
	"errors"
	"io"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"evio/overlay/signal"
)

// paper is a ledger in memory.
type paper struct {
	at    map[string]time.Time
	fault error
}

func (p *paper) Confirmed(list string) (time.Time, error) { return p.at[list], p.fault }

func (p *paper) Keep(list string, at time.Time) error {
	if p.fault == nil {
		p.at[list] = at
	}
	return p.fault
}

// newAgedFixture is newFixtureFor with a limit for the age of lists and a ledger.
func newAgedFixture(t *testing.T, from string, most time.Duration, ledger Ledger) *fixture {
	t.Helper()
	f := &fixture{session: &session{}, changed: make(chan struct{}, 1), dir: filepath.Join(t.TempDir(), "pins")}
	var err error
	if f.book, err = Open(Config{Dir: f.dir, Key: newKey(t), Log: quiet(), MaxAge: most, Ledger: ledger, Slept: f.slept}); err != nil {
		t.Fatal(err)
	}
	f.service = f.serve(t, "A@example.net", map[string]string{AnyOverlay: from})
	f.service.Attach(f.session)
	f.book.Join("blue", f.changed, func(m Member, _ []byte) { f.got = append(f.got, m) })
	return f
}

// sleeper is a machine that sleeps on demand; its time.Now stands still meanwhile.
type sleeper struct{ total atomic.Int64 }

func (s *sleeper) slept() time.Duration { return time.Duration(s.total.Load()) }

func (s *sleeper) sleep(d time.Duration) { s.total.Add(int64(d)) }

// says fails the test unless the faults are those that contain the texts, in order.
func (f *fixture) says(t *testing.T, texts ...string) {
	t.Helper()
	got := f.book.Faults()
	if len(got) != len(texts) {
		t.Fatalf("faults %q, want %q", got, texts)
	}
	for i, text := range texts {
		if !strings.Contains(got[i], text) {
			t.Errorf("fault %q, want %q in it", got[i], text)
		}
	}
}

// TestListTooOld: members of a list that has not been complete for too long are none, for
// nobody, until it is again; those of the same account by a newer list stay.
func TestListTooOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newAgedFixture(t, "roster", time.Minute, &paper{at: map[string]time.Time{}})
		f.service.Roster(roster("b@example.net"))
		appear(f.service, "b@example.net/1", newKey(t), "blue")
		<-time.After(10 * time.Second)
		f.service.Roster(roster("b@example.net"))
		f.service.Down(io.EOF)
		<-time.After(14 * time.Second)
		f.says(t)
		<-time.After(time.Second)
		f.says(t, "the members of account a@example.net by roster were last confirmed 15s ago, at 2000-01-01T00:00:10Z: their sessions end when that is 1m0s (membership_max_age)")
		<-time.After(44 * time.Second)
		if got := f.book.Members("blue"); len(got) != 1 {
			t.Fatalf("members %+v at 59 s", got)
		}
		drain(f.changed)
		<-time.After(time.Second)
		synctest.Wait()
		if got := f.book.Members("blue"); len(got) != 0 || !drain(f.changed) {
			t.Fatalf("members %+v at the end of the age, or nobody told", got)
		}
		f.says(t, "1m0s is the most (membership_max_age): they have no sessions")
		if _, err := f.service.sender("blue", "b@example.net/1"); err == nil {
			t.Error("a message is heard")
		}
		before := f.service.Strangers()
		f.service.duplicateMessage("b@example.net/1", duplicateMessage{kind: duplicateQuestion}.encode(f.book.key, "b@example.net/1", ""))
		if len(f.session.sent) != 0 || f.service.Strangers() != before+1 {
			t.Error("a question about the identity is answered")
		}
		f.service.Up("a@example.net/2")
		f.service.Roster(roster("b@example.net"))
		f.says(t)
		if got := f.book.Members("blue"); len(got) != 1 {
			t.Errorf("members %+v after the list has come again", got)
		}
		f.service.Roster(nil) // ends nothing of the clock's
	})
}

// TestListAgeOverRestart: the age counts from the last complete list, whichever process had it.
func TestListAgeOverRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := &paper{at: map[string]time.Time{}}
		f := newAgedFixture(t, "roster", time.Minute, ledger)
		f.service.Roster(nil)
		f.service.Down(io.EOF)
		<-time.After(40 * time.Second)
		f = newAgedFixture(t, "roster", time.Minute, ledger)
		f.says(t, "were last confirmed 40s ago, at 2000-01-01T00:00:00Z")
		if got := f.service.Lists(); len(got) != 1 || got[0].Members != "roster" || !got[0].Confirmed.Equal(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("lists %+v", got)
		}
		<-time.After(20 * time.Second)
		f.says(t, "1m0s is the most")

		ledger.at["a@example.net roster"] = time.Now().Add(time.Second)
		f = newAgedFixture(t, "roster", time.Minute, ledger)
		<-time.After(15 * time.Second)
		f.says(t, "have not been confirmed since the plugin was started 15s ago")

		ledger.fault = errors.New("lists/1: the checksum does not match")
		f = newAgedFixture(t, "roster", time.Minute, ledger)
		f.says(t, "is not on disk, so after a restart that counts as never: lists/1: the checksum does not match")
		ledger.fault = nil
		f.service.Roster(nil)
		f.says(t)
		if !ledger.at["a@example.net roster"].Equal(time.Now()) {
			t.Errorf("kept %v", ledger.at)
		}
	})
}

// TestListAgesInSleep: the time for which the machine slept counts, soon after it wakes up,
// and what it slept before the list was complete does not.
func TestListAgesInSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := &paper{at: map[string]time.Time{}}
		f := newAgedFixture(t, "roster", time.Hour, ledger)
		f.sleep(30 * time.Minute)
		f.service.Roster(roster("b@example.net"))
		appear(f.service, "b@example.net/1", newKey(t), "blue")
		if !ledger.at["a@example.net roster"].Equal(time.Now()) {
			t.Errorf("kept %v", ledger.at)
		}
		<-time.After(time.Minute)
		f.says(t)
		f.sleep(40 * time.Minute)
		f.says(t, "were last confirmed 41m0s ago, at 2000-01-01T00:00:00Z: their sessions end when that is 1h0m0s")
		if got := f.book.Members("blue"); len(got) != 1 {
			t.Fatalf("members %+v after 41 min", got)
		}
		drain(f.changed)
		f.sleep(20 * time.Minute)
		if got := f.book.Members("blue"); len(got) != 0 {
			t.Errorf("members %+v after 61 min", got)
		}
		<-time.After(lookEvery)
		synctest.Wait()
		if !drain(f.changed) {
			t.Error("nobody is told that the list is too old")
		}
		f.service.Roster(roster("b@example.net"))
		f.says(t)
	})
}

// TestListWithoutLimit: nobody loses a session for the age of a list alone, and the age is
// reported after a day.
func TestListWithoutLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newAgedFixture(t, "roster", 0, nil)
		f.service.Roster(roster("b@example.net"))
		appear(f.service, "b@example.net/1", newKey(t), "blue")
		f.service.Down(io.EOF)
		<-time.After(24*time.Hour - 1)
		f.says(t)
		<-time.After(1)
		f.says(t, "were last confirmed 24h0m0s ago, at 2000-01-01T00:00:00Z: who was removed since is still let in")
		<-time.After(1000 * time.Hour)
		if got := f.book.Members("blue"); len(got) != 1 {
			t.Errorf("members %+v", got)
		}
	})
}

// TestRoomThatIsNeverComplete: with a limit, an account that a room shows without giving its
// list is no member; a room that cannot be used is a list without members.
func TestRoomThatIsNeverComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const room = "salon@rooms.y"
		f := newAgedFixture(t, "room:"+room, time.Minute, nil)
		f.service.Room(room, signal.RoomChange{Members: []string{"b@example.net"}})
		f.service.Occupant(room, "b@example.net/1", true, announcement(newKey(t), "b@example.net", "blue"))
		if got := f.book.Members("blue"); len(got) != 0 {
			t.Errorf("members %+v", got)
		}
		f.says(t, "the members of account a@example.net by room:"+room+" have not been confirmed since the plugin was started 0s ago, and 1m0s is the most")
		f.service.Room(room, signal.RoomChange{Members: []string{"b@example.net"}, Complete: true})
		if got := f.book.Members("blue"); len(got) != 1 || !got[0].Online {
			t.Errorf("members %+v by the whole list", got)
		}
		f.says(t)
		<-time.After(50 * time.Second)
		f.service.Room(room, signal.RoomChange{Err: errors.New("it is gone"), Closed: true})
		<-time.After(14 * time.Second)
		f.says(t, "room "+room+" of account a@example.net: it is gone")
	})
}
