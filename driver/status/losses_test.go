package status

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func counted(count uint64) Document {
	return Document{Networks: []Network{{
		ID: "n", Name: "blue", Running: true, Ports: []string{"evf0"},
		Drops: map[string]uint64{"flood-own-limit": count, "source-not-owned": count, "no-session": count},
	}}}
}

// TestLosses: a counter of a loss that moves is a fault until a minute has passed without;
// refusals and what sessions explain are none.
func TestLosses(t *testing.T) {
	var l Losses
	begin := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for _, step := range []struct {
		at    time.Duration
		count uint64
		want  []Loss
	}{
		{0, 0, []Loss{}},
		{10 * time.Second, 7, []Loss{{Cause: "flood-own-limit", Count: 7, Since: begin.Add(10 * time.Second), Last: begin.Add(10 * time.Second)}}},
		{30 * time.Second, 9, []Loss{{Cause: "flood-own-limit", Count: 9, Since: begin.Add(10 * time.Second), Last: begin.Add(30 * time.Second)}}},
		{89 * time.Second, 9, []Loss{{Cause: "flood-own-limit", Count: 9, Since: begin.Add(10 * time.Second), Last: begin.Add(30 * time.Second)}}},
		{90 * time.Second, 9, []Loss{}},
		{100 * time.Second, 10, []Loss{{Cause: "flood-own-limit", Count: 1, Since: begin.Add(100 * time.Second), Last: begin.Add(100 * time.Second)}}},
	} {
		d := counted(step.count)
		l.Note(&d, begin.Add(step.at), begin.Add(step.at))
		if diff := cmp.Diff(step.want, d.Networks[0].Losses); diff != "" {
			t.Errorf("after %v: %s", step.at, diff)
		}
		h := Judge(d)
		if h.Healthy != (len(step.want) == 0) || len(d.Faults) != len(step.want) || len(h.Degraded) != len(step.want) {
			t.Errorf("after %v: healthy %v, faults %q, degraded %+v", step.at, h.Healthy, d.Faults, h.Degraded)
		}
	}
}

// TestLossesOfTunnels: tunnels are told apart by their far ends, and one that takes the
// place of another counts anew.
func TestLossesOfTunnels(t *testing.T) {
	var l Losses
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	tunnels := func(b, c uint64) Document {
		d := counted(0)
		d.Networks[0].Sessions = []Session{
			{JID: "b@x", Drops: map[string]uint64{"send_socket": b, "record_forged": 5}}, {JID: "c@x", Drops: map[string]uint64{"send_socket": c}},
		}
		return d
	}
	d := tunnels(4, 0)
	l.Note(&d, now, now)
	d = tunnels(1, 0)
	l.Note(&d, now.Add(time.Second), now.Add(time.Second))
	want := []Loss{{Cause: "send_socket", Peer: "b@x", Count: 5, Since: now, Last: now.Add(time.Second)}}
	if diff := cmp.Diff(want, d.Networks[0].Losses); diff != "" {
		t.Error(diff)
	}
	if len(d.Faults) != 1 || !strings.HasPrefix(d.Faults[0], "network blue: 5 lost in the tunnel to b@x, the last at 2026-11-30T12:00:01Z (send_socket): datagrams were refused") {
		t.Errorf("%q", d.Faults)
	}
	gone := Document{}
	l.Note(&gone, now.Add(2*time.Second), now.Add(2*time.Second))
	if len(l.seen) != 0 || len(l.standing) != 0 {
		t.Errorf("a network that is no more is remembered: %v, %v", l.seen, l.standing)
	}
}

// TestOlderCountersAreLeftOut: a look that began before another one ended may bring older
// counters, which are no new beginning.
func TestOlderCountersAreLeftOut(t *testing.T) {
	var l Losses
	begin := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	note := func(count uint64, begun, now time.Duration) []Loss {
		d := counted(count)
		l.Note(&d, begin.Add(begun), begin.Add(now))
		return d.Networks[0].Losses
	}
	note(1_000_000, 0, 0)
	hour := time.Hour
	note(1_000_001, hour+time.Second, hour+2*time.Second)
	got := note(1_000_000, hour, hour+3*time.Second)
	want := []Loss{{Cause: "flood-own-limit", Count: 1, Since: begin.Add(hour + 2*time.Second), Last: begin.Add(hour + 2*time.Second)}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := note(1_000_003, hour+4*time.Second, hour+4*time.Second); got[0].Count != 3 {
		t.Errorf("%+v", got)
	}
}

// TestUnknownCauseIsALoss: a counter that nobody has classified is not passed over.
func TestUnknownCauseIsALoss(t *testing.T) {
	var l Losses
	d := Document{Transport: Transport{Drops: map[string]uint64{"new-reason": 1}}}
	l.Note(&d, time.Now(), time.Now())
	if h := Judge(d); h.Healthy || len(h.Degraded) != 1 || h.Degraded[0].Part != PartTransport {
		t.Errorf("%+v", h)
	}
}

// TestLossesAreWatched: what is lost while nobody asks is noted when it happens.
func TestLossesAreWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Losses
		var told []int
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 3*lossEvery+time.Second)
		defer cancel()
		l.Watch(ctx, func(context.Context) Document {
			if time.Since(begin) < 2*lossEvery {
				return counted(0)
			}
			return counted(3)
		}, func(d Document) { told = append(told, len(d.Networks[0].Losses)) })
		if diff := cmp.Diff([]int{0, 1, 1}, told); diff != "" {
			t.Error(diff)
		}
		d := counted(3)
		l.Note(&d, time.Now(), time.Now())
		if s := d.Networks[0].Losses; len(s) != 1 || s[0].Last.Sub(begin) != 2*lossEvery {
			t.Errorf("%+v", s)
		}
	})
}

// TestCausesSayWhatToDo: a loss has a sentence, and what is none has no use for one.
func TestCausesSayWhatToDo(t *testing.T) {
	for name, c := range causes {
		if (c.class == lost) != strings.Contains(c.remedy, ": ") {
			t.Errorf("%s: class %d, %q", name, c.class, c.remedy)
		}
	}
}
