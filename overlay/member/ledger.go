package member

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"evio/wall"
)

// Ledger keeps when lists of members were last complete, so that their age counts over
// restarts. A list is named by account and source. Its methods are called by one goroutine
// for each account.
type Ledger interface {
	// Confirmed returns the wall time when the list was last complete, zero if it never was.
	Confirmed(list string) (time.Time, error)
	// Keep puts a newer time in its place.
	Keep(list string, at time.Time) error
}

// freshness is when a list was last complete. Within a process its age goes by the
// monotonic clock and the time for which the machine slept, so that nobody who moves the
// other clock ends sessions, or keeps them.
type freshness struct {
	confirmed instant // zero: never, as far as is known
	since     instant // from when the age counts where it never was
	kept      instant // what the ledger has
	fault     error   // of the ledger
	told      stage   // by the log
	timer     *time.Timer
}

// instant is a moment of this process, and for how long the machine had slept by then.
type instant struct {
	time.Time
	slept time.Duration
}

func (i instant) since(earlier instant) time.Duration {
	return i.Sub(earlier.Time) + max(0, i.slept-earlier.slept)
}

func (b *Book) now() instant { return instant{time.Now(), b.slept()} }

func (f *freshness) age(now instant) time.Duration {
	if f.confirmed.IsZero() {
		return now.since(f.since)
	}
	return now.since(f.confirmed)
}

// listName is what the ledger knows a list by.
func (s *Service) listName(from source) string { return s.jid + " " + from.String() }

// recall takes the age of a list from the ledger. A time that is still to come was written
// by a wrong clock, or is read by one, and says nothing.
func (s *Service) recall(from source) {
	now := s.book.now()
	f := &freshness{since: now}
	var at time.Time
	if s.book.ledger != nil {
		at, f.fault = s.book.ledger.Confirmed(s.listName(from))
	}
	if age := wall.At(now.Time).Sub(at); !at.IsZero() && f.fault == nil && age >= 0 {
		f.confirmed = instant{now.Add(-age), now.slept}
		f.kept = f.confirmed
	}
	s.lists[from] = f
	f.told = s.book.limits.stage(f.age(now))
	f.timer = time.AfterFunc(time.Hour, func() { s.aged(from) })
	s.wind(f, now)
}

// lookEvery is how often an age is looked at: timers stand still while the machine sleeps.
const lookEvery = 10 * time.Second

// wind sets the timer for the next stage.
func (s *Service) wind(f *freshness, now instant) {
	if left, ok := s.book.limits.next(f.age(now)); ok {
		f.timer.Reset(min(left, lookEvery))
	} else {
		f.timer.Stop()
	}
}

// confirm notes that a list is complete now, and keeps that.
func (s *Service) confirm(from source) {
	now := s.book.now()
	s.book.mu.Lock()
	f := s.lists[from]
	f.confirmed = now
	again := f.told != fresh
	f.told = fresh
	s.wind(f, now)
	due := s.book.ledger != nil && (f.fault != nil || f.kept.IsZero() || now.since(f.kept) >= s.book.limits.keepEvery())
	s.book.mu.Unlock()
	if again {
		s.log.WithField("from", from.String()).Info("signalling: the list of members is confirmed again")
	}
	if !due {
		return
	}
	err := s.book.ledger.Keep(s.listName(from), wall.At(now.Time))
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	if f.fault = err; err == nil {
		f.kept = now
	}
}

// aged is called when a list may have come into another stage.
func (s *Service) aged(from source) {
	now := s.book.now()
	s.book.mu.Lock()
	f := s.lists[from]
	is := s.book.limits.stage(f.age(now))
	news := is > f.told
	f.told = max(f.told, is)
	s.wind(f, now)
	sentence := s.ageLocked(from, now)
	s.book.mu.Unlock()
	if !news {
		return
	}
	s.log.Warn("signalling: " + sentence)
	if is == expired {
		s.book.notifyAll()
	}
}

// stageLocked returns how old a list is. One that never was complete vouches for nobody
// where ages are limited: who was removed before it began to be followed is not known.
func (s *Service) stageLocked(from source, now instant) stage {
	f := s.lists[from]
	if f.confirmed.IsZero() && s.book.limits.expired > 0 && len(s.members[from]) > 0 {
		return expired
	}
	return s.book.limits.stage(f.age(now))
}

// vouchesLocked returns the members by a list, none if it is expired.
func (s *Service) vouchesLocked(from source) map[string]bool {
	if s.stageLocked(from, s.book.now()) == expired {
		return nil
	}
	return s.members[from]
}

// ageLocked says that a list is ageing or expired, and what to do; "" while it is fresh.
func (s *Service) ageLocked(from source, now instant) string {
	is := s.stageLocked(from, now)
	if is == fresh {
		return ""
	}
	f := s.lists[from]
	text := fmt.Sprintf("the members of account %s by %s ", s.jid, from)
	age := f.age(now).Truncate(time.Second)
	if f.confirmed.IsZero() {
		text += fmt.Sprintf("have not been confirmed since the plugin was started %v ago", age)
	} else {
		text += fmt.Sprintf("were last confirmed %v ago, at %s", age, wall.At(f.confirmed.Time).UTC().Format(time.RFC3339))
	}
	switch most := s.book.limits.expired; {
	case is == expired:
		text += fmt.Sprintf(", and %v is the most (membership_max_age): they have no sessions", most)
	case most > 0:
		text += fmt.Sprintf(": their sessions end when that is %v (membership_max_age)", most)
	default:
		text += ": who was removed since is still let in"
	}
	return text + ", see to it that the account is connected and its server gives it the whole list"
}

// agesLocked says, a sentence each, which lists are old or cannot be kept track of.
func (s *Service) agesLocked(now instant) []string {
	var out []string
	for _, from := range slices.SortedFunc(maps.Keys(s.lists), source.compare) {
		if sentence := s.ageLocked(from, now); sentence != "" {
			out = append(out, sentence)
		}
		if err := s.lists[from].fault; err != nil {
			out = append(out, fmt.Sprintf("when the members of account %s by %s were last confirmed is not on disk, so after a restart that counts as never: %v", s.jid, from, err))
		}
	}
	return out
}

// List is one list of members of an account.
type List struct {
	Members   string    // what makes a member: "roster", "group:NAME" or "room:ROOM@SERVICE"
	Confirmed time.Time // when it was last complete; zero: never, as far as is known
}

// Lists returns the lists of the account, sorted.
func (s *Service) Lists() []List {
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	var out []List
	for _, from := range slices.SortedFunc(maps.Keys(s.lists), source.compare) {
		l := List{Members: from.String()}
		if at := s.lists[from].confirmed; !at.IsZero() {
			l.Confirmed = wall.At(at.Time).UTC()
		}
		out = append(out, l)
	}
	return out
}
