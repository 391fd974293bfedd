//go:build e2e

package integration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"evio/integration/scenario"
	"evio/integration/testbed"
)

// healing is the time within which containers talk again after a part was killed, or
// after the engine's API answers again.
const healing = 5 * time.Second

// TestRecovery kills or restarts parts of site a, one after another, under containers
// that talk. Each time they talk again, and nothing is left behind.
func TestRecovery(t *testing.T) {
	d := deploy(t)
	w := populate(t, d, scenario.Network{Name: "recovery", Overlay: "recovery", Net: 50})
	var table mendings
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			if f.liveRestore != w.liveRestore {
				if err := w.a().SetLiveRestore(within(t, 20*time.Second), f.liveRestore); err != nil {
					t.Fatal(err)
				}
				w.liveRestore = f.liveRestore
			}
			table = append(table, w.recover(t, f))
		})
	}
	table.write(t)
}

// fault is one thing that breaks at a site.
type fault struct {
	name        string
	liveRestore bool // containers outlive the engine
	restarts    bool // the engine starts the containers anew
	// do breaks it and returns from when on the time counts.
	do func(context.Context, *scenario.Site) (time.Time, error)
}

func faults() []fault {
	kill := func(programs ...string) func(context.Context, *scenario.Site) (time.Time, error) {
		return func(ctx context.Context, s *scenario.Site) (time.Time, error) {
			began := time.Now()
			return began, s.KillPrograms(ctx, programs...)
		}
	}
	return []fault{
		{name: "plugin killed", do: func(ctx context.Context, s *scenario.Site) (time.Time, error) {
			began := time.Now()
			return began, s.KillPlugin(ctx, scenario.PluginName)
		}},
		{name: "plugin disabled by force and enabled", do: reenable},
		{name: "ovs-vswitchd killed", do: kill("ovs-vswitchd")},
		{name: "ovsdb-server killed", do: kill("ovsdb-server")},
		{name: "ovs-vswitchd and ovsdb-server killed", do: kill("ovs-vswitchd", "ovsdb-server")},
		{name: "ovs-vswitchd ovsdb-server and plugin killed", do: kill("ovs-vswitchd", "ovsdb-server", "evio")},
		{name: "engine restarted", restarts: true, do: restartEngine},
		{name: "engine killed", restarts: true, do: killEngine},
		{name: "plugin and engine killed", restarts: true, do: killBoth},
		{name: "engine restarted with live-restore", liveRestore: true, do: restartEngine},
		{name: "engine killed with live-restore", liveRestore: true, do: killEngine},
		{name: "plugin and engine killed with live-restore", liveRestore: true, do: killBoth},
	}
}

func reenable(ctx context.Context, s *scenario.Site) (time.Time, error) {
	if _, err := s.Docker(ctx, "plugin", "disable", "-f", scenario.PluginName); err != nil {
		return time.Time{}, err
	}
	began := time.Now()
	_, err := s.Docker(ctx, "plugin", "enable", scenario.PluginName)
	return began, err
}

func restartEngine(ctx context.Context, s *scenario.Site) (time.Time, error) {
	err := s.RestartEngine(ctx)
	return s.EngineAnswered(), err
}

func killEngine(ctx context.Context, s *scenario.Site) (time.Time, error) {
	err := s.KillEngine(ctx)
	if err == nil {
		err = s.ResumeEngine(ctx)
	}
	return s.EngineAnswered(), err
}

func killBoth(ctx context.Context, s *scenario.Site) (time.Time, error) {
	pid, err := s.PluginPID(ctx, scenario.PluginName)
	if err == nil {
		err = s.KillEngine(ctx, pid)
	}
	if err == nil {
		err = s.ResumeEngine(ctx)
	}
	return s.EngineAnswered(), err
}

// world is a network with two containers at the first site and one at each other, which
// talk.
type world struct {
	d           *scenario.Deployment
	network     scenario.Network
	containers  [][]string // by site
	liveRestore bool       // how site a's engine runs

	dialogues []job // TCP: from site b to the first container of a, from that to site c
	ping      job   // from site b to the first container of a, each 100 ms
}

// populate makes the network and its containers, which the engine restarts, and waits
// until all talk. All but the second have fixed addresses.
func populate(t *testing.T, d *scenario.Deployment, n scenario.Network) *world {
	t.Helper()
	w := &world{d: d, network: n, containers: make([][]string, len(d.Sites))}
	if err := d.Create(within(t, 30*time.Second), n); err != nil {
		t.Fatal(err)
	}
	for i, s := range d.Sites {
		v4, v6 := w.fixed(i)
		w.start(t, i, name(s, n), "--ip", v4, "--ip6", v6)
		if i == 0 {
			w.start(t, i, name(s, n)+"-2")
		}
	}
	if err := d.WaitSessions(within(t, 20*time.Second), n.Name); err != nil {
		t.Fatal(err)
	}
	if _, err := scenario.Matrix(within(t, 10*time.Second), w.spots(t)); err != nil {
		t.Fatal(err)
	}
	return w
}

// fixed are the addresses of a site's first container.
func (w *world) fixed(site int) (v4, v6 string) {
	return fmt.Sprintf("10.%d.%d.200", w.network.Net, site+1), fmt.Sprintf("fd00:%d:0:0:%d::200", w.network.Net, site+1)
}

func (w *world) start(t *testing.T, site int, container string, args ...string) {
	t.Helper()
	args = append(args, "--restart", "always", testbed.Image, "probe", "tcp-echo", "-listen", ":7")
	if err := w.d.Sites[site].RunContainer(within(t, 30*time.Second), container, w.network.Name, args...); err != nil {
		t.Fatal(err)
	}
	w.containers[site] = append(w.containers[site], container)
}

func (w *world) a() *scenario.Site { return w.d.Sites[0] }

// spots looks all containers up, waiting for those that the engine starts anew.
func (w *world) spots(t *testing.T) []scenario.Spot {
	t.Helper()
	var all []scenario.Spot
	for i := range w.d.Sites {
		all = append(all, w.spotsAt(t, i)...)
	}
	return all
}

// spotsAt is spots for one site.
func (w *world) spotsAt(t *testing.T, site int) []scenario.Spot {
	t.Helper()
	spots := make([]scenario.Spot, len(w.containers[site]))
	for i, container := range w.containers[site] {
		await(t, 20*time.Second, func(ctx context.Context) (err error) {
			spots[i], err = w.d.Sites[site].Spot(ctx, container, w.network.Name)
			return err
		})
	}
	return spots
}

// converse starts what talks all the time and has not begun, or has ended with its
// container.
func (w *world) converse(t *testing.T, spots []scenario.Spot) {
	t.Helper()
	first, b, c := spots[0], spots[2], spots[3]
	if w.dialogues == nil {
		w.dialogues = make([]job, 2)
		w.ping = enter(t, b, "ping", "-n", "-D", "-i", "0.1", first.Addresses[0])
	}
	for i, ends := range [][2]scenario.Spot{{b, first}, {first, c}} {
		if w.dialogues[i].Process == nil || !w.dialogues[i].runs() {
			w.dialogues[i] = enter(t, ends[0], "probe", "tcp-dialogue", "-to", ends[1].Addresses[0]+":7", "-for", "20m", "-patience", "30s")
		}
	}
	var both sync.WaitGroup
	for _, talk := range w.dialogues {
		both.Go(func() {
			if err := moreAnswers(within(t, healing), talk); err != nil {
				t.Errorf("a TCP connection does not go on: %v", err)
			}
		})
	}
	both.Wait()
}

// recover has the fault happen and measures how long it takes until all is well.
func (w *world) recover(t *testing.T, f fault) mending {
	before := w.spots(t)
	if w.dialogues == nil {
		w.converse(t, before)
	}
	broken := time.Now()
	began, err := f.do(within(t, 90*time.Second), w.a())
	if err != nil {
		t.Fatal(err)
	}
	after := w.spots(t)
	last, err := scenario.Matrix(within(t, healing+20*time.Second), after)
	if err != nil {
		t.Fatalf("%v", err)
	}
	r := mending{Fault: f.name, Restarts: f.restarts}
	for _, at := range last {
		r.Recovery = max(r.Recovery, at.Sub(began).Milliseconds())
	}
	if took := time.Duration(r.Recovery) * time.Millisecond; took > healing {
		t.Errorf("all containers talk again after %v, want at most %v", took, healing)
	}
	for i, spot := range after {
		kept := i != 1 || !f.restarts // the engine may give another address to one that has no fixed one
		if kept && !slices.Equal(spot.Addresses, before[i].Addresses) {
			t.Errorf("%s had addresses %v, has %v", spot.Container, before[i].Addresses, spot.Addresses)
		}
		if same := spot.PID == before[i].PID; same == (f.restarts && i < 2) {
			t.Errorf("%s was started anew: %t", spot.Container, !same)
		}
	}
	for _, talk := range w.dialogues {
		if !f.restarts && !talk.runs() {
			t.Errorf("a TCP connection broke: %v", talk.Err())
		}
		if f.restarts { // one end has died: others take their place
			_ = talk.Stop(within(t, 10*time.Second), "TERM") // it may have ended
		}
	}
	w.converse(t, after)
	if err := scenario.Steady(within(t, 20*time.Second), after); err != nil {
		t.Error(err)
	}
	if r.Outage, err = longestSilence(w.ping, broken); err != nil {
		t.Error(err)
	}
	r.Clean = clean(t, w.d, began)
	t.Logf("%s: all talk after %d ms, the ping from b was silent for %d ms, nothing left after %d ms", r.Fault, r.Recovery, r.Outage, r.Clean)
	return r
}

// clean waits until no site has anything left over, and returns how long after the
// fault that was, in milliseconds.
func clean(t *testing.T, d *scenario.Deployment, began time.Time) int64 {
	t.Helper()
	for _, s := range d.Sites {
		await(t, cleaning, func(ctx context.Context) error {
			left, err := s.Leftovers(ctx)
			if err == nil && len(left) > 0 {
				err = fmt.Errorf("site %s is not clean: %w", s.Name(), errors.Join(asErrors(left)...))
			}
			return err
		})
	}
	return time.Since(began).Milliseconds()
}

// cleaning bounds how long something may be left over.
const cleaning = 15 * time.Second

func asErrors(sentences []string) []error {
	errs := make([]error, len(sentences))
	for i, s := range sentences {
		errs[i] = errors.New(s)
	}
	return errs
}
