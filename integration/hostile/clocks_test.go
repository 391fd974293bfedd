//go:build e2e

package hostile

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"evio/integration/scenario"
	"evio/integration/testbed"
)

// TestClocks moves the clock of a site, by what is tolerated and by more, and sets it right
// again, with and without beginning anew.
func TestClocks(t *testing.T) {
	c := &clocked{t: t, binary: movableBinary(t), o: scenario.Overlay{Name: "clocks", Net: 57}}
	t.Run("released binary", c.released)
	lab := testbed.StartSites(t, testbed.Options{}, testbed.SiteConfig{Name: "a"}, testbed.SiteConfig{Name: "b"})
	var err error
	if c.d, err = scenario.Prepare(scenario.Within(t, 2*time.Minute), lab); err != nil {
		t.Fatal(err)
	}
	c.a, c.b = c.d.Sites[0], c.d.Sites[1]
	c.start()
	if err := c.b.StartEvio(scenario.Within(t, 30*time.Second), testbed.EvioOptions{}); err != nil {
		t.Fatal(err)
	}
	scenario.JoinAll(t, c.d, c.o)
	for _, off := range []time.Duration{4 * time.Minute, -4 * time.Minute, time.Hour, -time.Hour} {
		t.Run(fmt.Sprintf("%+v", off), func(t *testing.T) {
			c := *c
			c.t = t
			c.step(off)
			if off.Abs() > 5*time.Minute {
				c.stepAfterRestart(off)
			}
			c.restart(off)
		})
	}
}

// released compares the binary with the one that is released: only the one has what moves
// its clock.
func (c *clocked) released(t *testing.T) {
	for file, want := range map[string]bool{c.binary: true, filepath.Join(scenario.Bundle, "rootfs/bin/evio"): false} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, mark := range []string{offsetFile, offsetSymbol} {
			if got := bytes.Contains(b, []byte(mark)); got != want {
				t.Errorf("%s has %q: %t, want %t", file, mark, got, want)
			}
		}
	}
}

// step sets the clock wrong and right again while the process goes on.
func (c *clocked) step(off time.Duration) {
	before := scenario.SessionWith(c.t, c.b, c.o.Name, c.a.Account.JID)
	c.set(off)
	c.told("is", off)
	c.set(0)
	c.well("set right", time.Now())
	if after := scenario.SessionWith(c.t, c.b, c.o.Name, c.a.Account.JID); before == nil || after == nil || !after.Established.Equal(before.Established) {
		c.t.Errorf("the session is another one than before")
	}
}

// stepAfterRestart begins anew with a clock with which no session comes up, and sets it
// right while the process goes on.
func (c *clocked) stepAfterRestart(off time.Duration) {
	c.stop()
	c.set(off)
	c.start()
	c.told("seems to be", off)
	c.set(0)
	c.well("set right after a restart", time.Now())
}

// restart begins anew with a wrong clock, and once more with a right one.
func (c *clocked) restart(off time.Duration) {
	c.stop()
	c.set(off)
	c.start()
	if off.Abs() <= 5*time.Minute {
		if err := c.d.WaitSessions(scenario.Within(c.t, clockRightGuard), c.o.Name); err != nil {
			c.t.Fatal(err)
		}
	} else { // it has sent envelopes by then
		c.told("seems to be", off)
	}
	c.stop()
	c.set(0)
	c.start()
	c.well("right after a restart", time.Now())
}
