//go:build e2e

package integration

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"evio/integration/scenario"
	"evio/integration/testbed"
)

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
	ctx := within(t, 20*time.Second)
	var group errgroup.Group
	for i, container := range w.containers[site] {
		group.Go(func() error {
			return scenario.Await(ctx, func() (err error) {
				spots[i], err = w.d.Sites[site].Spot(ctx, container, w.network.Name)
				return err
			})
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
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

// entered counts programs in containers: each has a log of its own, so that none is taken for
// what another one has printed.
var entered atomic.Int64

// enter starts a program of the site's host in a container's namespaces; it is ended
// with the test, or with the container.
func enter(t *testing.T, s scenario.Spot, args ...string) job {
	t.Helper()
	p, err := s.Site.Start(within(t, 10*time.Second), fmt.Sprintf("%s-%s-%d-%d", s.Container, args[0], s.PID, entered.Add(1)), s.Inside(args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return job{p, args[0]}
}

// runs tells whether the program has not ended.
func (j job) runs() bool {
	select {
	case <-j.Done():
		return false
	default:
		return true
	}
}

// moreAnswers waits until a dialogue has two more answers than now: the second was
// surely asked for later.
func moreAnswers(ctx context.Context, j job) error {
	var before conversation
	_ = j.last(&before) // nothing is printed yet: no answers
	return scenario.Await(ctx, func() error {
		var now conversation
		if err := j.last(&now); err != nil {
			return err
		}
		if now.Answers <= before.Answers+1 {
			return fmt.Errorf("%d answers, no more than before", now.Answers)
		}
		return nil
	})
}
