package path

import (
	"math/rand/v2"
	"testing"
	"time"

	"evio/datapath/record"
)

// narrowPath answers probes of records up to a size, small ones always but when it is cut.
type narrowPath struct {
	SizeSearch
	now       time.Duration
	answered  time.Duration
	roundTrip time.Duration
	takes     int
	cut       bool
	loss      float64 // of large probes, besides
	bytes     int     // asked with
	lost      int
	token     uint64
}

// run leads the machine on for a time, in which large records are sent or not.
func (p *narrowPath) run(d time.Duration, large bool, until func() bool) time.Duration {
	begin := p.now
	for p.Next <= begin+d && !until() {
		p.now = p.Next
		p.token++
		size, lost := p.Tick(p.now, p.answered, p.roundTrip, large, p.token)
		if lost {
			p.lost++
		}
		p.bytes += size
		if size == 0 || p.cut {
			continue
		}
		came := p.now + p.roundTrip
		p.answered = came
		if size <= p.takes && rand.Float64() >= p.loss {
			p.Answer(came, p.token)
		}
	}
	return p.now - begin
}

func newNarrowPath(full int) *narrowPath {
	p := &narrowPath{roundTrip: 40 * time.Millisecond, takes: record.MaxSize}
	p.Full = full
	p.Restart(0)
	return p
}

func noEnd() bool { return false }

// TestPathTakesNoFullRecords: they are cut to the largest size that passes, soon after
// large ones are sent, and are full again soon after the path is mended.
func TestPathTakesNoFullRecords(t *testing.T) {
	for _, c := range []struct{ full, takes, want int }{
		{1445, 1452, record.MaxSize},
		{1445, 1445, record.MaxSize},
		{1445, 1444, 1372},
		{1445, 1392, 1372}, // the public report's rule: packets up to 1420 bytes
		{1445, 1300, 1252},
		{1445, 1171, 972},
		{1445, 600, 548},
		{1445, 100, 548}, // what helps is not known
		{835, 1452, record.MaxSize},
		{835, 700, 548},
		{500, 400, record.MaxSize},
	} {
		p := newNarrowPath(c.full)
		p.run(time.Hour, true, noEnd) // all is well
		if p.Limit() != record.MaxSize || p.lost != 0 {
			t.Fatalf("%+v: limit %d, %d lost on a good path", c, p.Limit(), p.lost)
		}
		p.takes = c.takes
		took := p.run(time.Minute, true, func() bool { return p.Limit() == c.want && p.Level > 0 })
		if p.Limit() != c.want {
			t.Errorf("%+v: limit %d", c, p.Limit())
		}
		if c.want == record.MaxSize {
			continue
		}
		if most := sizeInterval + time.Duration(len(rungs)+1)*sizeMisses*minSizeWait; took > most {
			t.Errorf("%+v: noticed after %v, want %v", c, took, most)
		}
		p.run(time.Hour, true, noEnd)
		if p.Limit() != c.want || p.lost == 0 {
			t.Errorf("%+v: limit %d an hour later, %d lost", c, p.Limit(), p.lost)
		}
		p.takes = record.MaxSize
		if took = p.run(time.Minute, false, func() bool { return p.Level == 0 }); p.Level != 0 || took > 2*sizeAgain {
			t.Errorf("%+v: level %d, %v after the path was mended", c, p.Level, took)
		}
	}
}

// TestSilenceIsNoMatterOfSize: a path that is cut takes small records no more than large
// ones.
func TestSilenceIsNoMatterOfSize(t *testing.T) {
	p := newNarrowPath(1445)
	p.run(time.Minute, true, noEnd)
	p.cut = true
	p.run(15*time.Second, true, noEnd)
	p.cut = false
	p.run(time.Minute, true, noEnd)
	if p.Limit() != record.MaxSize || p.lost != 0 {
		t.Errorf("limit %d, %d lost", p.Limit(), p.lost)
	}
}

// TestLossyPathTakesFullRecords: what is lost now and then is not taken for too large.
func TestLossyPathTakesFullRecords(t *testing.T) {
	p := newNarrowPath(1445)
	p.loss = 0.05
	p.run(time.Hour, true, func() bool { return p.Level > 0 })
	if p.Level > 0 {
		t.Errorf("records are cut after %v with 5 %% loss", p.now)
	}
}

// TestIdleSessionsAskSeldom: a session that sends nothing large costs little.
func TestIdleSessionsAskSeldom(t *testing.T) {
	p := newNarrowPath(1445)
	p.run(time.Hour, false, noEnd)
	if p.bytes == 0 || p.bytes > 5*3600 {
		t.Errorf("%d bytes in an hour, want 5 a second at most", p.bytes)
	}
	p.takes = 1000
	if took := p.run(6*time.Minute, false, func() bool { return p.Limit() == 972 }); p.Limit() != 972 {
		t.Errorf("limit %d after %v", p.Limit(), took)
	}
}

// TestAnswersOfOthersCountForNothing: only the answer to the current request does.
func TestAnswersOfOthersCountForNothing(t *testing.T) {
	p := newNarrowPath(1445)
	p.takes = 1000
	for range 200 {
		p.run(p.Next-p.now, true, noEnd)
		p.Answer(p.now, p.token+7)
		p.Answer(p.now, 0)
	}
	if p.Limit() != 972 {
		t.Errorf("limit %d", p.Limit())
	}
}
