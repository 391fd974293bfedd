// Package guesses slows down whoever tries to guess an overlay's secret: it knows which
// accounts have not proved the secret, and when each may have its next session. The
// caller passes the time, and the package does no I/O.
package guesses

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"evio/internal/backoff"
	"evio/overlay"
)

const (
	// guessPause and guessPauses bound the pause after a proof of the overlay's secret that
	// failed; each is twice the one before. It is no longer than what an engine waits
	// between two attempts anyway, so that a mended file does not wait for it.
	guessPause, guessPauses = 2 * time.Second, 30 * time.Second
	// guessMemory is how long after the last one is remembered that proofs failed.
	guessMemory = time.Hour
	// maxGuessers is how many accounts are remembered; those that failed last.
	maxGuessers = 1024
	// doubts is how many doubtful proofs are reported: one or two may be chance.
	doubts = 3
	// doubtPause is how long the next session waits after a doubtful proof that was not the
	// first: as long as keys serve at least.
	doubtPause = 10 * time.Second
)

// Limiter knows which accounts have not proved the overlay's secret. Whoever completes the
// handshake may test a guess or two: this makes it slow. The list of members changes
// nothing here: whoever guesses may be whoever makes the list. The zero value is ready; any
// goroutine may call it.
type Limiter struct {
	mu       sync.Mutex
	accounts map[string]*guesser
	known    map[string]bool // have proved the secret, and did nothing doubtful
	budget   guessBudget     // of the others
	drawn    map[string]int  // what their sessions that go on have drawn on it
}

type guesser struct {
	failures           int
	forgiven           bool // it has proved the secret since
	pardoned           bool // it has proved the secret since, and got a session at once for it
	first, last, until time.Time
	why                error

	doubts      int // proofs that were done, while guesses of another secret may have been tested
	since, calm time.Time
}

// errDoubt is why an account waits that has proved a secret.
var errDoubt = errors.New("its last proofs of the overlay's secret may have tested guesses of another")

// reported is an error that is in the log or the status already.
type reported struct{ error }

func (r reported) Unwrap() []error { return []error{r.error, overlay.ErrReported} }

// Admit returns why there is no session with an account now, nil if there may be one, whose
// end the caller reports by Ended or Failed.
func (g *Limiter) Admit(account string, now time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if who := g.accounts[account]; who != nil && now.Before(who.until) {
		return reported{fmt.Errorf("%w; it gets the next session in %v", who.why, who.until.Sub(now).Round(time.Second))}
	} else if who != nil && now.Before(who.calm) {
		return reported{fmt.Errorf("%w; it gets the next session in %v", errDoubt, who.calm.Sub(now).Round(time.Second))}
	}
	if g.known[account] {
		return nil
	}
	if !g.budget.draw(now) {
		return reported{errBudget}
	}
	if g.drawn == nil {
		g.drawn = map[string]int{}
	}
	g.drawn[account]++
	return nil
}

// Failed notes a session that has ended because the account did not prove the secret.
func (g *Limiter) Failed(account string, why error, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.endDrawn(account) && !g.known[account] {
		g.budget.draw(now)
	}
	who := g.guesser(account, now)
	pause := backoff.Exponential{First: guessPause, Last: guessPauses}.Pause(who.failures)
	if who.failures == 0 {
		who.first = now
	}
	who.failures++
	who.forgiven, who.last, who.until, who.why = false, now, now.Add(pause), why
}

// Doubt notes a proof that is done and may have tested a guess of another secret.
func (g *Limiter) Doubt(account string, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.known, account)
	g.guesser(account, now).doubt(now)
}

func (who *guesser) doubt(now time.Time) {
	if who.doubts == 0 {
		who.since = now
	} else {
		who.calm = now.Add(doubtPause)
	}
	who.doubts++
	who.last = now
}

// Proved lets an account alone that has proved the secret. How often it failed before is
// remembered, and that it proves after failures is forgiven once: whoever has one of two secrets
// may fail with guesses of the other in between.
func (g *Limiter) Proved(account string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	who := g.accounts[account]
	switch {
	case who == nil || who.failures == 0 || who.forgiven:
	case who.pardoned:
		who.forgiven = true
		who.doubt(who.last)
	default:
		who.forgiven, who.pardoned, who.until = true, true, time.Time{}
	}
	if (who == nil || who.doubts == 0) && len(g.known) < maxGuessers {
		if g.known == nil {
			g.known = map[string]bool{}
		}
		g.known[account] = true
	}
	g.giveBack(account)
}

// Ended notes a session of an account that has ended for another reason, or was not opened.
func (g *Limiter) Ended(account string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.giveBack(account)
}

func (g *Limiter) giveBack(account string) {
	if g.endDrawn(account) {
		g.budget.giveBack()
	}
}

// endDrawn notes the end of a session that has drawn on the budget; it returns false if
// there is none.
func (g *Limiter) endDrawn(account string) bool {
	if g.drawn[account] == 0 {
		return false
	}
	if g.drawn[account]--; g.drawn[account] == 0 {
		delete(g.drawn, account)
	}
	return true
}

// guesser returns what is remembered of an account, after it has made room for it.
func (g *Limiter) guesser(account string, now time.Time) *guesser {
	maps.DeleteFunc(g.accounts, func(_ string, who *guesser) bool { return now.Sub(who.last) > guessMemory })
	who := g.accounts[account]
	if who != nil {
		return who
	}
	if len(g.accounts) >= maxGuessers {
		oldest := slices.MinFunc(slices.Collect(maps.Keys(g.accounts)), func(a, b string) int { return g.accounts[a].last.Compare(g.accounts[b].last) })
		delete(g.accounts, oldest)
	}
	if g.accounts == nil {
		g.accounts = map[string]*guesser{}
	}
	who = &guesser{}
	g.accounts[account] = who
	return who
}

// Forget forgets all.
func (g *Limiter) Forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.accounts)
	clear(g.known)
	clear(g.drawn)
	g.budget = guessBudget{}
}

// Faults has a sentence for each account that has not proved the secret of late, or has in a
// doubtful way.
func (g *Limiter) Faults(overlayName string, now time.Time) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var faults []string
	for _, account := range slices.Sorted(maps.Keys(g.accounts)) {
		who := g.accounts[account]
		if now.Sub(who.last) > guessMemory {
			continue
		}
		if who.failures > 0 && !who.forgiven {
			faults = append(faults, fmt.Sprintf("overlay %s: %s has not proved the overlay's secret, %d times since %s: compare the secret's file on both engines; where they are the same, somebody tries to guess it",
				overlayName, account, who.failures, who.first.UTC().Format(time.RFC3339)))
		}
		if who.doubts >= doubts {
			faults = append(faults, fmt.Sprintf("overlay %s: %s has proved a secret of the overlay, %d times since %s, in a way that lets it test guesses of another: compare the lines of the secret's file on both engines; where they are the same and in the same order, somebody who knows one of them tries to guess the other",
				overlayName, account, who.doubts, who.since.UTC().Format(time.RFC3339)))
		}
	}
	if g.budget.isSpent(now) {
		faults = append(faults, fmt.Sprintf("overlay %s: so many sessions have ended without a proof of the overlay's secret that accounts which have not proved it yet wait for theirs: see who is on the list of members, and take off it whom you do not know", overlayName))
	}
	return faults
}
