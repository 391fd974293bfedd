//go:build e2e

package soak

import (
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"evio/integration/scenario"
)

// traffic is what all containers send each other all the time.
type traffic struct {
	streams   []*stream
	streaming errgroup.Group
	enough    chan struct{} // closed when no stream begins another connection
	datagrams []datagrams
	pings     []scenario.Job
	dialogue  scenario.Job
}

// datagrams are a flow of them with all that hear it.
type datagrams struct {
	name string
	from scenario.Job
	to   []scenario.Job
	// parts is how many datagrams a call of the sender becomes.
	parts int
	// numbered ones are counted one by one; the others say whether they were damaged.
	numbered bool
}

// startTraffic starts it between the first containers of three sites. The path from the first to the
// second is direct.
func startTraffic(t *testing.T, w *scenario.World, lasting time.Duration) *traffic {
	t.Helper()
	var spots []scenario.Spot
	for i := range w.Deployment.Sites {
		spots = append(spots, w.SpotsAt(t, i)[0])
	}
	a, b, c := spots[0], spots[1], spots[2]
	tr := &traffic{enough: make(chan struct{}), streams: []*stream{
		{from: a, to: b, address: b.Addresses[0], port: 5001, bytes: 256 << 20},
		{from: b, to: a, address: "[" + a.Addresses[1] + "]", port: 5002, bytes: 256 << 20},
		{from: a, to: c, address: "[" + c.Addresses[1] + "]", port: 5003, bytes: 16 << 20},
		{from: c, to: b, address: b.Addresses[0], port: 5004, bytes: 16 << 20},
	}}
	t.Cleanup(func() { _ = tr.streaming.Wait() }) // a test that ends before ends it by its context

	began := scenario.Within(t, time.Minute)
	background := func(s scenario.Spot, name string, args ...string) scenario.Job {
		t.Helper()
		j, err := start(began, s, name, args...)
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	ear := func(s scenario.Spot, name string, args ...string) scenario.Job {
		t.Helper()
		j := background(s, name, args...)
		if err := listens(began, j); err != nil {
			t.Fatal(err)
		}
		return j
	}
	// flow sends calls of size bytes, each cut into segments if that is not 0, after each pause.
	flow := func(from, to scenario.Spot, address string, port, size, segment int, pause time.Duration) {
		t.Helper()
		f := datagrams{name: fmt.Sprintf("UDP from %s to %s", from.Container, address), parts: 1}
		if segment > 0 {
			f.parts = size / segment
		}
		f.to = []scenario.Job{ear(to, "udp-recv-"+strconv.Itoa(port), "probe", "app-udp-recv", "-listen", ":"+strconv.Itoa(port), "-first", "1m", "-idle", "2m")}
		f.from = background(from, "udp-send-"+strconv.Itoa(port), "probe", "app-udp-send", "-to", address+":"+strconv.Itoa(port),
			"-size", strconv.Itoa(size), "-segment", strconv.Itoa(segment), "-every", pause.String(), "-count", strconv.Itoa(int(2*lasting/pause)))
		tr.datagrams = append(tr.datagrams, f)
	}
	flow(a, b, b.Addresses[0], 5101, 13000, 1300, 10*time.Millisecond)
	flow(b, c, "["+c.Addresses[1]+"]", 5102, 1200, 0, 5*time.Millisecond)
	flow(c, a, a.Addresses[0], 5103, 12000, 1000, 40*time.Millisecond)

	for i, from := range spots {
		port := strconv.Itoa(5201 + i)
		f := datagrams{name: "broadcasts from " + from.Container, parts: 1, numbered: true}
		for _, to := range spots {
			if to.Container != from.Container {
				f.to = append(f.to, ear(to, "count-recv-"+port, "probe", "count-recv", "-listen", ":"+port, "-idle", "2m"))
			}
		}
		f.from = background(from, "count-send-"+port, "probe", "count-send", "-to", fmt.Sprintf("10.%d.255.255:%s", w.Network.Net, port),
			"-size", "300", "-rate", "50", "-for", (2 * lasting).String())
		tr.datagrams = append(tr.datagrams, f)
		for _, address := range spots[(i+1)%len(spots)].Addresses {
			tr.pings = append(tr.pings, background(from, "ping-"+address, "ping", "-n", "-D", "-i", "0.2", address))
		}
	}
	tr.dialogue = background(b, "dialogue", "probe", "tcp-dialogue", "-to", a.Addresses[0]+":7", "-for", (2 * lasting).String(), "-patience", "30s")
	for _, s := range tr.streams {
		tr.streaming.Go(func() error { return s.run(t.Context(), tr.enough) })
	}
	return tr
}

// goes says what has ended although nobody ended it.
func (tr *traffic) goes() error {
	var errs []error
	ended := func(what string, j scenario.Job) {
		select {
		case <-j.Done():
			errs = append(errs, fmt.Errorf("%s: %s has ended, and nobody ended it", what, j.Name), j.Err())
		default:
		}
	}
	ended("a TCP connection that stays", tr.dialogue)
	for _, f := range tr.datagrams {
		ended(f.name, f.from)
		for _, to := range f.to {
			ended(f.name, to)
		}
	}
	return errors.Join(errs...)
}

// end ends it and says what is wrong with what came. Pings may not have been silent for long since
// the moment given.
func (tr *traffic) end(t *testing.T, since time.Time) {
	t.Helper()
	if err := tr.goes(); err != nil {
		t.Error(err)
	}
	close(tr.enough)
	for _, p := range tr.pings {
		silence, err := scenario.LongestSilence(p, since)
		if err == nil && silence > scenario.Healing.Milliseconds() {
			err = fmt.Errorf("no answer for %d ms while nothing was broken, want at most %v", silence, scenario.Healing)
		}
		if err = errors.Join(err, p.Stop(scenario.Within(t, 20*time.Second), "TERM")); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
	if err := tr.streaming.Wait(); err != nil {
		t.Error(err)
	}
	for _, s := range tr.streams {
		t.Logf("%v: %d connections of %d bytes", s, s.done, s.bytes)
		if s.done == 0 {
			t.Errorf("%v: not one connection of %d bytes has ended", s, s.bytes)
		}
	}
	for _, f := range tr.datagrams {
		f.end(t)
	}
	var talk scenario.Conversation
	if err := ended(t, tr.dialogue, &talk); err != nil {
		t.Error(err)
	}
	t.Logf("one TCP connection through all of it: %d answers, longest stall %d ms", talk.Answers, talk.LongestStall)
}

// ended ends a probe and decodes what it printed last.
func ended(t *testing.T, j scenario.Job, event any) error {
	t.Helper()
	err := j.Stop(scenario.Within(t, 20*time.Second), "TERM")
	if err = errors.Join(err, j.Err(), j.Last(event)); err != nil {
		return fmt.Errorf("%s: %w", j.Name, err)
	}
	return nil
}

// heardAtLeast is which part of the datagrams must come. The machine is busy, and queues overflow.
const heardAtLeast = 0.5

func (f datagrams) end(t *testing.T) {
	t.Helper()
	var sent struct{ Sent, Refused int }
	if err := ended(t, f.from, &sent); err != nil {
		t.Error(err)
		return
	}
	want := sent.Sent * f.parts
	for _, to := range f.to {
		var came, damaged, twice int
		var err error
		if f.numbered {
			var got struct{ Received, Duplicates int }
			err = ended(t, to, &got)
			came, twice = got.Received, got.Duplicates
		} else {
			var got struct {
				Sizes   map[int]int
				Damaged int
			}
			err = ended(t, to, &got)
			for _, n := range got.Sizes {
				came += n
			}
			damaged = got.Damaged
		}
		if err != nil {
			t.Error(err)
			continue
		}
		t.Logf("%s: %d of %d came to %s, %d refused by the sender's kernel", f.name, came, want, to.Name, sent.Refused)
		if damaged > 0 || twice > 0 {
			t.Errorf("%s: %d datagrams came damaged and %d twice", f.name, damaged, twice)
		}
		if float64(came) < heardAtLeast*float64(want) {
			t.Errorf("%s: %d of %d datagrams came, want %v of them at least", f.name, came, want, heardAtLeast)
		}
	}
}
