package guesses

import (
	"errors"
	"time"
)

const (
	// guessAccounts is how many accounts' failures an overlay has room for in an hour, in all,
	// of accounts that have never proved its secret: a server makes accounts for nothing.
	guessAccounts = 16
	// guessesHour is about how often one account can fail in an hour, which guessPauses allows.
	guessesHour = 120
	// guessBurst is how many may fail at once, and guessEvery what then lies between two: in
	// an hour no more than guessAccounts times guessesHour.
	guessBurst = guessesHour
	guessEvery = time.Hour / (guessAccounts*guessesHour - guessBurst)
)

// errBudget is why an account waits that has done nothing yet.
var errBudget = errors.New("too many accounts have not proved the overlay's secret of late: one that has not proved it before waits until there are fewer")

// guessBudget is how many sessions may end without a proof. Each draws on it when it
// begins, and gives that back if it ends otherwise. The zero value is full.
type guessBudget struct {
	spent int
	since time.Time // that spent has grown less by itself
}

// draw takes a part of the budget; it returns false if there is none.
func (b *guessBudget) draw(now time.Time) bool {
	if b.isSpent(now) {
		return false
	}
	b.spent++
	return true
}

func (b *guessBudget) giveBack() { b.spent = max(b.spent-1, 0) }

// isSpent reports whether there is none left.
func (b *guessBudget) isSpent(now time.Time) bool {
	if over := int(now.Sub(b.since) / guessEvery); b.spent == 0 || over >= b.spent {
		b.spent, b.since = 0, now
	} else if over > 0 {
		b.spent, b.since = b.spent-over, b.since.Add(time.Duration(over)*guessEvery)
	}
	return b.spent >= guessBurst
}
