package signal

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestBackoff(t *testing.T) {
	const almostOne = 1 - 1e-9
	for _, test := range []struct {
		name    string
		stood   []time.Duration
		refused bool
		from    time.Duration
	}{
		{"first", []time.Duration{0}, false, time.Second},
		{"second", []time.Duration{0, 0}, false, 2 * time.Second},
		{"fifth", []time.Duration{0, 0, 0, 0, 0}, false, 16 * time.Second},
		{"sixth", make([]time.Duration, 6), false, 30 * time.Second},
		{"hundredth", make([]time.Duration, 100), false, 30 * time.Second},
		{"after a short life", []time.Duration{0, 0, 9 * time.Second}, false, 4 * time.Second},
		{"after a long life", []time.Duration{0, 0, 0, 0, 10 * time.Second}, false, time.Second},
		{"refused at once", []time.Duration{0}, true, 30 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, random := range []float64{0, almostOne} {
				var w waits
				var got time.Duration
				for i, stood := range test.stood {
					got = w.next(stood, test.refused && i == len(test.stood)-1, random)
				}
				if got < test.from || got > 2*test.from {
					t.Errorf("got %v, want %v to %v", got, test.from, 2*test.from)
				}
			}
		})
	}
}

// TestReconnect looks at an hour without a server.
func TestReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lives := []time.Duration{5 * time.Second, 20 * time.Minute}
		var scripts []func(*peer)
		for _, life := range lives {
			scripts = append(scripts, serve(func(p *peer, _ string) {
				for end := time.Now().Add(life); time.Now().Before(end); {
					<-time.After(min(10*time.Second, time.Until(end)))
					p.send(" ")
				}
			}))
		}
		s := newScene(t, scripts...)
		s.start()
		for range lives {
			s.expectLogin()
			s.expect("down")
		}
		lost := time.Now()
		<-time.After(time.Hour)
		s.end()
		dials := s.dialled()
		if gap := dials[1].Sub(dials[0]); gap < 6*time.Second || gap > 7*time.Second {
			t.Errorf("second connection %v after the first, which lived 5 s", gap)
		}
		after := dials[2:]
		if first := after[0].Sub(lost); first < time.Second || first > 2*time.Second {
			t.Errorf("first attempt after a long life came after %v", first)
		}
		var gaps []time.Duration
		for i := range after[1:] {
			gaps = append(gaps, after[i+1].Sub(after[i]))
		}
		for i, gap := range gaps {
			low := min(2*time.Second<<min(i, 5), 30*time.Second)
			if gap < low || gap > 2*low {
				t.Errorf("wait %d is %v, want %v to %v", i, gap, low, 2*low)
			}
		}
		if len(gaps) < 55 {
			t.Errorf("%d attempts in an hour", len(gaps))
		}
		same := 0
		for _, gap := range gaps[10:] {
			if gap == gaps[9] {
				same++
			}
		}
		if same > 1 {
			t.Error("the waits are not random")
		}
	})
}

// TestRefusedLoginGoesSlow spares an account that would be locked.
func TestRefusedLoginGoesSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuse := func(p *peer) {
			p.secureTo("SCRAM-SHA-256")
			p.scram("another password")
			p.drain()
		}
		s := newScene(t, refuse, refuse, serve(func(p *peer, _ string) { p.drain() }))
		s.start()
		s.expectLogin()
		dials := s.dialled()
		for i := range dials[1:] {
			if gap := dials[i+1].Sub(dials[i]); gap < 30*time.Second || gap > time.Minute {
				t.Errorf("wait %d is %v", i, gap)
			}
		}
		s.end()
	})
}

// pongs answers pings until told not to, then drains.
func pongs(p *peer, answered int) {
	for range answered {
		e := p.want("iq")
		p.send("<iq type='result' id='%s' from='%s'/>", e.attr("id"), testDomain)
	}
	p.drain()
}

func TestCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t,
			serve(func(p *peer, _ string) { pongs(p, 1) }),
			serve(func(p *peer, _ string) { pongs(p, 0) }),
			serve(func(p *peer, _ string) { p.drain() }))
		s.start()
		s.client.Check() // of no connection
		s.expectLogin()
		s.client.Check()
		<-time.After(checkPause - time.Second)
		if len(s.events) > 0 {
			t.Fatalf("an answered check: %s", <-s.events)
		}
		s.client.Check() // too soon
		<-time.After(2 * checkTimeout)
		if len(s.events) > 0 {
			t.Fatalf("a check too soon after another: %s", <-s.events)
		}
		for range 2 {
			began := time.Now()
			s.client.Check()
			s.expect("down the server has not answered a ping for 3s")
			s.expectLogin()
			if took := time.Since(began); took != checkTimeout {
				t.Errorf("connected again after %v, want %v and no pause", took, checkTimeout)
			}
		}
		s.end()
	})
}

func TestReconnectNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := make(chan string, 1)
		s := newScene(t,
			serve(func(p *peer, _ string) {
				if e, ok := p.read(); ok {
					left <- e.attr("type")
				}
				p.drain()
			}),
			func(p *peer) { // never logs us in
				p.header(offerStartTLS)
				p.drain()
			},
			serve(func(p *peer, _ string) { p.drain() }))
		s.start()
		s.expectLogin()
		began := time.Now()
		s.client.Reconnect()
		s.expect("down the addresses of this machine have changed")
		if got := <-left; got != "unavailable" {
			t.Errorf("left by %q", got)
		}
		synctest.Wait()
		s.client.Reconnect() // in mid login
		s.expectLogin()
		if took := time.Since(began); took > time.Second {
			t.Errorf("took %v", took)
		}
		s.end()
	})
}

// TestReconnectEndsTheWait does not sit a long pause out.
func TestReconnectEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.start()
		<-time.After(time.Hour)
		dials := len(s.dialled())
		s.client.Reconnect()
		synctest.Wait()
		if got := len(s.dialled()); got != dials+1 {
			t.Errorf("%d attempts at once, want 1", got-dials)
		}
		s.end()
	})
}

// TestNamesChanged: whatever waits for the next attempt is over, and the waits begin
// short again; a session that is up stays up.
func TestNamesChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.start()
		<-time.After(time.Hour)
		dials := len(s.dialled())
		s.client.NamesChanged()
		<-time.After(4 * time.Second)
		if got := len(s.dialled()) - dials; got < 2 {
			t.Errorf("%d attempts within 4 s, want one at once and one after at most 2 s", got)
		}
		s.mu.Lock()
		s.scripts = make(chan func(*peer), 1)
		s.scripts <- serve(func(p *peer, _ string) { p.drain() })
		s.mu.Unlock()
		s.client.NamesChanged()
		s.expectLogin()
		dials = len(s.dialled())
		s.client.NamesChanged()
		synctest.Wait()
		if got := len(s.dialled()); got != dials || !s.client.Status().Connected {
			t.Errorf("%d attempts beside a session that is up", got-dials)
		}
		s.end()
	})
}

// TestClockSet: what waits for the next attempt is over when the clock was set, as the
// server's certificate may have been refused for it; a session that is up stays up.
func TestClockSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.start()
		<-time.After(time.Hour)
		s.mu.Lock()
		s.scripts = make(chan func(*peer), 1)
		s.scripts <- serve(func(p *peer, _ string) { p.drain() })
		s.mu.Unlock()
		s.client.ClockSet()
		s.expectLogin()
		dials := len(s.dialled())
		s.client.ClockSet()
		synctest.Wait()
		if got := len(s.dialled()); got != dials || !s.client.Status().Connected {
			t.Errorf("%d attempts beside a session that is up", got-dials)
		}
		s.end()
	})
}

// TestNamesChangedSparesARefusedAccount: other names make no other password.
func TestNamesChangedSparesARefusedAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, func(p *peer) {
			p.secureTo("SCRAM-SHA-256")
			p.scram("another password")
			p.drain()
		})
		s.start()
		<-time.After(time.Second)
		s.client.NamesChanged()
		<-time.After(28 * time.Second)
		if got := len(s.dialled()); got != 1 {
			t.Errorf("%d attempts within 29 s of a refusal, want 1", got)
		}
		s.end()
	})
}
