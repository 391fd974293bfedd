package main

import (
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFigures(t *testing.T) {
	s := samples{}
	for round, v := range []float64{10, 20, 40} {
		s.add(reference, round, v)
	}
	for round, v := range map[int]float64{0: 30, 1: 20, 3: 7} { // 2 failed, and 3 has no reference
		s.add("evio-tap", round, v)
	}
	want := []figure{
		{Row: "r", System: "evio-tap", Median: 20, Unit: "u", Runs: 3, Values: []float64{30, 20, 7}, RatioTo: &ratio{reference, 2, 1, 3}},
		{Row: "r", System: reference, Median: 20, Unit: "u", Runs: 3, Values: []float64{10, 20, 40}},
	}
	if diff := cmp.Diff(want, s.figures("r", "u", reference, []string{"evio-tap", "evio-turn", reference})); diff != "" {
		t.Error(diff)
	}
}

func TestPercentile(t *testing.T) {
	values := make([]float64, 200)
	for i := range values {
		values[i] = float64(200 - i)
	}
	for share, want := range map[float64]float64{0.5: 100, 0.99: 198, 1: 200, 0.001: 1} {
		if got := percentile(values, share); got != want {
			t.Errorf("%v: %v, want %v", share, got, want)
		}
	}
}

func TestUsage(t *testing.T) {
	before, err := parseUsage("cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 1 0 2 100 5 0 3 2 0 0\ncpu1 1 0 2 200 0 0 0 0 0 0\nintr 5\n")
	if err != nil {
		t.Fatal(err)
	}
	after, err := parseUsage("cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 8 0 2 150 6 0 3 3 0 0\ncpu1 1 0 9 249 0 0 0 0 0 0\nintr 5\n")
	if err != nil {
		t.Fatal(err)
	}
	before.own, after.at, after.own = time.Second, before.at.Add(2*time.Second), 4*time.Second
	// 1 s of idle time of two processors in 2 s.
	if got := after.loadSince(before); got != (load{own: 1.5, all: 1.5}) {
		t.Errorf("%+v", got)
	}
	for _, broken := range []string{"", "cpu 1 2 3 4 5 6\n", "cpu0 1 2 3 x 5 6 7 8 9 10\n"} {
		if _, err := parseUsage(broken); err == nil {
			t.Errorf("%q: no error", broken)
		}
	}
	name, used, err := parseProcess("7 (a) b) S 1 7 7 0 -1 4194560 100 200 0 0 1 20 300 4000 20 0 1 0 5 6\n")
	if name != "a) b" || used != 43210*time.Millisecond || err != nil {
		t.Errorf("%q, %v, %v", name, used, err)
	}
	for _, broken := range []string{"", "7 a S", "7 (a) S 1", "7 (a) S 1 7 7 0 -1 4194560 100 200 0 0 1 x 300 4000 20 0"} {
		if _, _, err := parseProcess(broken); err == nil {
			t.Errorf("%q: no error", broken)
		}
	}
}

func TestClimb(t *testing.T) {
	for _, c := range []struct {
		start, step, top, want int
	}{
		{0, 4, 9, 9}, {0, 4, 8, 8}, {0, 4, 0, 0}, {7, 1, 9, 9}, {7, 1, 7, 7}, {7, 1, 4, 4}, {7, 1, 0, 0}, {0, 4, 99, highestRung}, {5, 1, -1, -1}, {0, 4, -1, -1},
	} {
		best, err := climb(c.start, c.step, func(rung int) (bool, error) { return rung <= c.top, nil })
		if c.want < 0 {
			if err == nil {
				t.Errorf("%+v: rung %d, want an error", c, best)
			}
			continue
		}
		if err != nil || best != c.want {
			t.Errorf("%+v: rung %d, %v", c, best, err)
		}
	}
	// One bad second is forgiven.
	tried := map[int]int{}
	best, err := climb(3, 1, func(rung int) (bool, error) {
		tried[rung]++
		return rung < 6 && tried[rung] == 2, nil
	})
	if err != nil || best != 5 {
		t.Errorf("rung %d, %v", best, err)
	}
	broken := errors.New("broken")
	if _, err := climb(0, 4, func(int) (bool, error) { return false, broken }); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

func TestParsers(t *testing.T) {
	trips := parsePings("64 bytes from 198.19.0.2: icmp_seq=1 ttl=64 time=0.123 ms\n64 bytes from 198.19.0.2: icmp_seq=3 ttl=64 time=2 ms\n", 3)
	if !slices.Equal(trips, []float64{0.123, 2, lostTrip}) {
		t.Errorf("trips %v", trips)
	}
	if trips := parsePings("From 198.19.0.1 icmp_seq=1 Destination Host Unreachable\n", 3); trips != nil {
		t.Errorf("trips %v of none", trips)
	}
	rate, bytes, resent, err := parseIperf(`{"end":{"sum_sent":{"bytes":9,"retransmits":3},"sum_received":{"bytes":8,"bits_per_second":64.5}}}`)
	if rate != 64.5 || bytes != 8 || resent != 3 || err != nil {
		t.Errorf("iperf3: %v bit/s, %v bytes, %d resent, %v", rate, bytes, resent, err)
	}
	for _, broken := range []string{"", "{}", `{"error":"unable to connect"}`} {
		if _, _, _, err := parseIperf(broken); err == nil {
			t.Errorf("iperf3 %q: no error", broken)
		}
	}
	receive, send, err := largestBuffers("UNCONN 0 0 0.0.0.0:5 0.0.0.0:*\n\t skmem:(r0,rb14680064,t0,tb14680064,f0,w0,o0,bl0,d0)\nUNCONN 0 0 0.0.0.0:6 0.0.0.0:*\n\t skmem:(r0,rb212992,t0,tb212992,f0,w0,o0,bl0,d0)\n")
	if receive != 14680064 || send != 14680064 || err != nil {
		t.Errorf("buffers %d, %d, %v", receive, send, err)
	}
	if _, _, err := largestBuffers(""); err == nil {
		t.Error("no socket: no error")
	}
	table := "    pkts      bytes target prot opt in out source destination\n     900 1 all -- eth0 * 0.0.0.0/0 0.0.0.0/0 /* bench-all */\n       9 1 DROP all -- eth0 * 0.0.0.0/0 0.0.0.0/0 statistic /* bench-dropped */\n"
	if n, err := ruleCount(table, lossDropped); n != 9 || err != nil {
		t.Errorf("%d dropped, %v", n, err)
	}
	if _, err := ruleCount(table, "bench"); err == nil {
		t.Error("a rule that is not there is found")
	}
}

func TestLossCount(t *testing.T) {
	for _, c := range []struct {
		all, dropped uint64
		share        float64
		ok           bool
	}{
		{1_000_000, 10_000, 0.01, true}, {1_000_000, 10_999, 0.01, true}, {1_000_000, 11_001, 0.01, false}, {1_000_000, 8_999, 0.01, false},
		{10_000, 139, 0.01, true}, {10_000, 141, 0.01, false}, {10_000, 0, 0.01, false}, {0, 0, 0.01, true},
	} {
		if err := (lossCount{c.all, c.dropped}).holds(c.share); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestOptions(t *testing.T) {
	o, err := parseOptions([]string{"-guard", "-out", "x.json"})
	if err != nil || !slices.Equal(o.rows, guardRows) || !slices.Equal(o.names, evioOnly) || o.runs != 3 {
		t.Errorf("%+v, %v", o, err)
	}
	for _, bad := range []string{"-rows=tcp2", "-systems=none", "-runs=x"} {
		if _, err := parseOptions([]string{bad}); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
	o, err = parseOptions([]string{"-rows", "rtt_p50"})
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for i := range measures {
		if measures[i].named(o.rows) {
			rows = append(rows, measures[i].rows[0].name)
		}
	}
	if !slices.Equal(rows, []string{"rtt_p50"}) {
		t.Errorf("rows %v", rows)
	}
}

// TestLoadAboveIdle: on a quiet machine all that it does counts, softirqs in idle time too. Beside the
// work of others only the bench's own does.
func TestLoadAboveIdle(t *testing.T) {
	busy := load{own: 1.2, all: 1.9}
	if got := busy.above(load{own: 0.1, all: 0.2}); math.Abs(got-1.7) > 1e-9 {
		t.Errorf("on a quiet machine %.2f, want 1.7", got)
	}
	if got := busy.above(load{own: 0.1, all: 0.9}); math.Abs(got-1.1) > 1e-9 {
		t.Errorf("beside others %.2f, want 1.1", got)
	}
}
