package guesses

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"evio/datapath/session"
	"evio/overlay"
)

// TestGuessing: an account that never proves the secret gets a session every 30 s at most;
// another account, and one that proves it, are not held up.
func TestGuessing(t *testing.T) {
	var g Limiter
	start := time.Unix(1e9, 0)
	why := fmt.Errorf("%w: compare", session.ErrSecret)
	tries := 0
	for now := start; now.Before(start.Add(time.Hour)); now = now.Add(time.Second) {
		err := g.Admit("mallory@example.org", now)
		if err == nil {
			tries++
			g.Failed("mallory@example.org", fmt.Errorf("%w: %w", overlay.ErrSecret, why), now)
		} else if !errors.Is(err, overlay.ErrReported) || !errors.Is(err, overlay.ErrSecret) || !strings.Contains(err.Error(), "next session in") {
			t.Fatal(err)
		}
		if err := g.Admit("b@example.org", now); err != nil {
			t.Fatal(err)
		}
		g.Ended("b@example.org")
	}
	if tries > 130 {
		t.Errorf("%d tries in an hour, want no more than 130", tries)
	}
	end := start.Add(time.Hour)
	faults := g.Faults("blue", end)
	if len(faults) != 1 || !strings.Contains(faults[0], fmt.Sprintf("mallory@example.org has not proved the overlay's secret, %d times since 2001-09-09T01:46:40Z", tries)) {
		t.Errorf("faults %q", faults)
	}
	if f := g.Faults("blue", end.Add(2*guessMemory)); len(f) != 0 {
		t.Errorf("%q long after", f)
	}
	g.Proved("mallory@example.org")
	if err := g.Admit("mallory@example.org", end); err != nil || len(g.Faults("blue", end)) != 0 {
		t.Errorf("after the secret was proved: %v", err)
	}
}

// TestGuessersAreBounded: many accounts fill no memory; those are remembered that failed last.
func TestGuessersAreBounded(t *testing.T) {
	var g Limiter
	now := time.Unix(1e9, 0)
	for i := range 2 * maxGuessers {
		g.Failed(fmt.Sprint(i), session.ErrUnproved, now)
		now = now.Add(time.Millisecond)
	}
	if len(g.accounts) != maxGuessers || g.accounts["0"] != nil || g.accounts[fmt.Sprint(2*maxGuessers-1)] == nil {
		t.Errorf("%d are remembered, want %d", len(g.accounts), maxGuessers)
	}
	g.Failed("later", session.ErrUnproved, now.Add(2*guessMemory))
	if len(g.accounts) != 1 {
		t.Errorf("%d are remembered after all that was long ago", len(g.accounts))
	}
	g.Forget()
	if err := g.Admit("later", now.Add(2*guessMemory)); err != nil {
		t.Error(err)
	}
	for i := range 2 * maxGuessers {
		g.Proved(fmt.Sprint(i))
	}
	if len(g.known) != maxGuessers {
		t.Errorf("%d are known, want %d", len(g.known), maxGuessers)
	}
}

// TestGuessesOfManyAccounts: however many accounts there are, and whoever takes them off the
// list and on again, those that never proved the secret fail no more often in an hour than
// 16 may. An account that has proved it is not held up, and a new one is let in later.
func TestGuessesOfManyAccounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var g Limiter
		accounts := rapid.IntRange(1, 3000).Draw(t, "accounts")
		atOnce := rapid.IntRange(1, guessBurst+30).Draw(t, "at once")
		step := time.Duration(rapid.IntRange(5, 60).Draw(t, "step")) * time.Second
		start := time.Unix(1e9, 0)
		g.Proved("b@example.org")
		failures, next := 0, 0
		end := start.Add(time.Hour)
		for now := start; now.Before(end); now = now.Add(step) {
			var open []string
			for range atOnce {
				next++
				if account := fmt.Sprint(next % accounts); g.Admit(account, now) == nil {
					open = append(open, account)
				}
			}
			failures += len(open)
			for _, account := range open {
				g.Failed(account, session.ErrUnproved, now)
			}
			if err := g.Admit("b@example.org", now); err != nil {
				t.Fatal(err)
			}
		}
		if failures > guessAccounts*guessesHour {
			t.Fatalf("%d sessions have failed in an hour, want no more than %d", failures, guessAccounts*guessesHour)
		}
		if failures < guessesHour/2 {
			t.Fatalf("%d sessions have failed in an hour, so nobody could", failures)
		}
		if err := g.Admit("new", end.Add(time.Minute)); err != nil {
			t.Fatalf("a minute later: %v", err)
		}
	})
}

// TestBudgetIsForGuesses: sessions that end otherwise cost nothing of it, and an empty budget
// is reported.
func TestBudgetIsForGuesses(t *testing.T) {
	var g Limiter
	now := time.Unix(1e9, 0)
	for i := range 10 * guessBurst {
		account := fmt.Sprint(i % 7)
		if err := g.Admit(account, now); err != nil {
			t.Fatal(i, err)
		}
		if i%2 == 0 {
			g.Ended(account)
		} else {
			g.Proved(account)
			g.Ended(account)
		}
	}
	g.Forget()
	for i := range guessBurst {
		if err := g.Admit(fmt.Sprint("open", i), now); err != nil {
			t.Fatal(i, err)
		}
	}
	if err := g.Admit("late", now); !errors.Is(err, overlay.ErrReported) || !strings.Contains(err.Error(), "too many accounts") {
		t.Errorf("beside as many as may fail: %v", err)
	}
	if f := g.Faults("blue", now); len(f) != 1 || !strings.Contains(f[0], "see who is on the list of members") {
		t.Errorf("faults %q", f)
	}
	g.Ended("open0")
	if err := g.Admit("late", now); err != nil {
		t.Errorf("after another has ended: %v", err)
	}
}

// TestGuesserWithOneSecret: a member that has one of two secrets, and proves it between guesses
// of the other, is reported and slowed down; a member that has a new file is not.
func TestGuesserWithOneSecret(t *testing.T) {
	const mallory = "mallory@example.org"
	start := time.Unix(1e9, 0)
	hour := func(attack func(g *Limiter, now time.Time) int) (g *Limiter, tests int) {
		g = &Limiter{}
		for now := start; now.Before(start.Add(time.Hour)); now = now.Add(time.Second) {
			tests += attack(g, now)
		}
		return g, tests
	}
	for name, attack := range map[string]func(g *Limiter, now time.Time) int{
		"proofs with a guess beside": func(g *Limiter, now time.Time) int {
			if g.Admit(mallory, now) != nil {
				return 0
			}
			g.Doubt(mallory, now)
			g.Proved(mallory)
			return 1
		},
		"a guess and a proof at the same time": func(g *Limiter, now time.Time) int {
			for range 2 {
				if g.Admit(mallory, now) != nil {
					return 0
				}
			}
			g.Failed(mallory, session.ErrUnproved, now)
			g.Proved(mallory)
			return 1
		},
	} {
		g, tests := hour(attack)
		if tests > int(time.Hour/doubtPause)+2 {
			t.Errorf("%s: %d in an hour", name, tests)
		}
		if f := g.Faults("blue", start.Add(time.Hour)); len(f) != 1 || !strings.Contains(f[0], mallory+" has proved a secret of the overlay, ") {
			t.Errorf("%s: faults %q", name, f)
		}
	}
	var g Limiter
	g.Failed(mallory, session.ErrSecret, start)
	g.Proved(mallory)
	g.Doubt(mallory, start) // chance, once
	if err := g.Admit(mallory, start); err != nil || len(g.Faults("blue", start)) != 0 {
		t.Errorf("with a new file: %v, %q", err, g.Faults("blue", start))
	}
}
