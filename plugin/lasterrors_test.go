package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/sirupsen/logrus"

	"evio/driver/status"
	"evio/plugin/config"
)

func hooked(t *testing.T) (*lastErrors, *logrus.Entry) {
	t.Helper()
	log, err := newLogger(io.Discard, config.Log{Level: "debug"})
	if err != nil {
		t.Fatal(err)
	}
	events := &lastErrors{}
	log.Logger.AddHook(events)
	return events, log
}

// TestLastErrors: warnings and worse are kept, what is said again is counted.
func TestLastErrors(t *testing.T) {
	events, log := hooked(t)
	first := time.Date(2026, 11, 21, 1, 2, 3, 0, time.UTC)
	log.Info("all is well")
	again := log.WithField("peer", "b@x").WithField("network", "blue")
	again.WithTime(first).Warn("no session")
	log.WithError(errors.Join(errors.New("one"), errors.New("two"))).Error("bad")
	log.Error("panic: x\ngoroutine 1")
	again.WithTime(first.Add(time.Hour)).Warn("no session")
	want := []status.LogEvent{
		{Level: "error", Text: "bad: one; two", Count: 1},
		{Level: "error", Text: "panic: x", Count: 1},
		{Level: "warning", Text: "no session", About: "network=blue peer=b@x", Count: 2},
	}
	got := events.list()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(status.LogEvent{}, "Time")); diff != "" {
		t.Fatal(diff)
	}
	if !got[2].Time.Equal(first.Add(time.Hour)) {
		t.Errorf("it was last logged at %v", got[2].Time)
	}
}

// TestLastErrorsAreBounded: the oldest make room, and long ones are cut between letters.
func TestLastErrorsAreBounded(t *testing.T) {
	events, log := hooked(t)
	for i := range maxEvents + 5 {
		log.Warn(fmt.Sprint(i, " ", strings.Repeat("é", maxEventText)))
	}
	list := events.list()
	if len(list) != maxEvents || !strings.HasPrefix(list[0].Text, "5 é") {
		t.Errorf("%d events, the first %.20s", len(list), list[0].Text)
	}
	for _, e := range list {
		if len(e.Text) > maxEventText || !strings.HasSuffix(e.Text, "é…") {
			t.Errorf("%d bytes: %s", len(e.Text), e.Text)
		}
	}
}
