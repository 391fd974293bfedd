//go:build e2e

package hostile

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"evio/integration/scenario"
	"evio/integration/testbed"
)

const (
	// clockRight is how soon after a clock was set right all sessions are up again. The
	// tests allow three times as long: this machine may be busy.
	clockRight      = 5 * time.Second
	clockRightGuard = 3 * clockRight
	// offsetFile and offsetSymbol are what a binary has whose clock a file moves.
	offsetFile   = "/run/evio/clock-offset"
	offsetSymbol = "evio/wall.offsetFromFile"
)

// clocked is a pair of sites; the clock of the first one can be moved.
type clocked struct {
	t      *testing.T
	d      *scenario.Deployment
	a, b   *scenario.Site
	o      scenario.Overlay
	binary string
}

// movableBinary builds evio with a clock that a file moves.
func movableBinary(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "evio")
	cmd := exec.CommandContext(scenario.Within(t, 3*time.Minute), "go", "build", "-trimpath", "-buildvcs=false", "-tags", "evioclock", "-ldflags", "-s -w -buildid=", "-o", file, scenario.Repository("plugin"))
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build evio with a movable clock: %v: %s", err, out)
	}
	return file
}

func (c *clocked) set(off time.Duration) {
	c.t.Helper()
	if err := c.a.WriteFile(scenario.Within(c.t, 10*time.Second), offsetFile, []byte(off.String()+"\n"), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

func (c *clocked) start() {
	c.t.Helper()
	if err := c.a.StartEvio(scenario.Within(c.t, 30*time.Second), testbed.EvioOptions{Binary: c.binary}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *clocked) stop() {
	c.t.Helper()
	if err := c.a.StopEvio(scenario.Within(c.t, 20*time.Second)); err != nil {
		c.t.Fatal(err)
	}
}

// clockFault is a fault about a clock: whose, how that is known, by how much and which way
// it is off.
var clockFault = regexp.MustCompile(`the clock of (\S+)(?: at site \S+)? (is|seems to be) (\S+) (ahead of|behind) this engine's, `)

// about reports whether one of the faults says of an account's clock, and how it is known,
// that it is off by about so much.
func about(faults []string, jid, how string, off time.Duration) bool {
	return slices.ContainsFunc(faults, func(f string) bool {
		m := clockFault.FindStringSubmatch(f)
		if m == nil || m[1] != jid || m[2] != how {
			return false
		}
		by, err := time.ParseDuration(m[3])
		if m[4] == "behind" {
			by = -by
		}
		return err == nil && (by-off).Abs() <= 3*time.Second
	})
}

// told waits until both ends show by how much the clock is wrong, and say so if it is more
// than is tolerated.
func (c *clocked) told(how string, off time.Duration) {
	c.t.Helper()
	beyond := off.Abs() > 5*time.Minute
	scenario.UntilContext(c.t, 2*clockRightGuard, func(ctx context.Context) error {
		for _, end := range []struct {
			at, of *scenario.Site
			off    time.Duration
		}{{c.b, c.a, off}, {c.a, c.b, -off}} {
			d, err := end.at.Status(ctx)
			if err != nil {
				return err
			}
			for _, m := range scenario.OverlayIn(d, c.o.Name).Members {
				switch {
				case m.JID != end.of.Account.JID:
				case m.Clock == nil:
					return fmt.Errorf("%s does not know the clock of %s", end.at.Name(), m.JID)
				case math.Abs(float64(m.Clock.AheadMillis-end.off.Milliseconds())) > 3000:
					return fmt.Errorf("%s shows %+v for the clock of %s, want %v", end.at.Name(), *m.Clock, m.JID, end.off)
				}
			}
			if says := about(d.Faults, end.of.Account.JID, how, end.off); says != beyond {
				return fmt.Errorf("%s says that it is wrong: %t, want %t: %q", end.at.Name(), says, beyond, d.Faults)
			}
			if beyond && d.Health.Healthy {
				return fmt.Errorf("%s is healthy with %q", end.at.Name(), d.Faults)
			}
		}
		return nil
	})
}

// well waits until the sites talk again since the clock was right, and nobody speaks of
// clocks any more.
func (c *clocked) well(what string, since time.Time) {
	c.t.Helper()
	scenario.UntilContext(c.t, clockRightGuard, func(ctx context.Context) error { return c.d.WaitSessions(ctx, c.o.Name) })
	took := time.Since(since)
	for _, to := range c.o.Addresses(c.b) {
		scenario.UntilContext(c.t, clockRightGuard, func(ctx context.Context) error {
			_, err := c.a.InNamespace(ctx, c.o.Name, "ping", "-c", "1", "-W", "1", to.String())
			return err
		})
	}
	talked := time.Since(since)
	scenario.UntilContext(c.t, clockRightGuard, func(ctx context.Context) error {
		for _, s := range c.d.Sites {
			d, err := s.Status(ctx)
			if err != nil {
				return err
			}
			for _, f := range d.Faults {
				if strings.Contains(f, "the clock of") {
					return fmt.Errorf("%s still says %s", s.Name(), f)
				}
			}
		}
		return nil
	})
	c.t.Logf("%s: sessions after %v, containers talk after %v, no fault after %v", what,
		took.Round(time.Millisecond), talked.Round(time.Millisecond), time.Since(since).Round(time.Millisecond))
}
