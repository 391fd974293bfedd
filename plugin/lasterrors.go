package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/sirupsen/logrus"

	"evio/driver/status"
)

const (
	// maxEvents is how many events are kept; a new one takes the place of the oldest.
	maxEvents = 50
	// maxEventText bounds the text of an event, and what it is about, in bytes.
	maxEventText = 1000
	// errorField is where WithError of the logger puts its error.
	errorField = "error"
	// levels is how many of logrus.AllLevels are kept: panic, fatal, error, warning.
	levels = 4
)

var _ logrus.Hook = (*lastErrors)(nil)

// lastErrors keeps the latest warnings and errors of the log. What is logged again
// counts up and becomes the latest. It may be used from any goroutine.
type lastErrors struct {
	mu     sync.Mutex
	events []status.LogEvent // oldest first
}

// Levels implements logrus.Hook.
func (*lastErrors) Levels() []logrus.Level { return logrus.AllLevels[:levels] }

// Fire implements logrus.Hook. The first line of a message is kept: behind it comes a
// stack, which is in the log.
func (l *lastErrors) Fire(e *logrus.Entry) error {
	message, _, _ := strings.Cut(e.Message, "\n")
	event := status.LogEvent{Time: e.Time.UTC(), Level: e.Level.String(), Text: message, Count: 1}
	var about []string
	for _, name := range slices.Sorted(maps.Keys(e.Data)) {
		value := strings.ReplaceAll(fmt.Sprint(e.Data[name]), "\n", "; ")
		if name == errorField {
			event.Text += ": " + value
		} else {
			about = append(about, name+"="+value)
		}
	}
	event.Text, event.About = cut(event.Text), cut(strings.Join(about, " "))

	l.mu.Lock()
	defer l.mu.Unlock()
	same := func(o status.LogEvent) bool {
		return o.Text == event.Text && o.About == event.About && o.Level == event.Level
	}
	if i := slices.IndexFunc(l.events, same); i >= 0 {
		event.Count += l.events[i].Count
		l.events = slices.Delete(l.events, i, i+1)
	} else if len(l.events) == maxEvents {
		l.events = slices.Delete(l.events, 0, 1)
	}
	l.events = append(l.events, event)
	return nil
}

// list returns a copy.
func (l *lastErrors) list() []status.LogEvent {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events)
}

// cut shortens a text to maxEventText bytes.
func cut(s string) string {
	if len(s) <= maxEventText {
		return s
	}
	end := maxEventText - len("…")
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
