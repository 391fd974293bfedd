package scenario

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"evio/integration/testbed"
)

// World is a network with two containers at the first site and one at each other site. They talk
// all the time.
type World struct {
	Deployment  *Deployment
	Network     Network
	Containers  [][]string // by site
	LiveRestore bool       // how site a's engine runs

	dialogues []Job // TCP: from site b to the first container of a, from that to site c
	ping      Job   // from site b to the first container of a, every 100 ms
}

// Populate makes the network and its containers, which the engine restarts, and waits
// until all talk. All but the second have fixed addresses.
func Populate(t *testing.T, d *Deployment, n Network) *World {
	t.Helper()
	w := &World{Deployment: d, Network: n, Containers: make([][]string, len(d.Sites))}
	if err := d.Create(Within(t, 30*time.Second), n); err != nil {
		t.Fatal(err)
	}
	for i, s := range d.Sites {
		v4, v6 := w.Fixed(i)
		w.start(t, i, ContainerName(s, n), "--ip", v4, "--ip6", v6)
		if i == 0 {
			w.start(t, i, ContainerName(s, n)+"-2")
		}
	}
	if err := d.WaitSessions(Within(t, 20*time.Second), n.Name); err != nil {
		t.Fatal(err)
	}
	if _, err := Matrix(Within(t, 10*time.Second), w.Spots(t)); err != nil {
		t.Fatal(err)
	}
	return w
}

// Fixed are the addresses of a site's first container.
func (w *World) Fixed(site int) (v4, v6 string) {
	return fmt.Sprintf("10.%d.%d.200", w.Network.Net, site+1), fmt.Sprintf("fd00:%d:0:0:%d::200", w.Network.Net, site+1)
}

func (w *World) start(t *testing.T, site int, container string, args ...string) {
	t.Helper()
	args = append(args, "--restart", "always", testbed.Image, "probe", "tcp-echo", "-listen", ":7")
	if err := w.Deployment.Sites[site].RunContainer(Within(t, 30*time.Second), container, w.Network.Name, args...); err != nil {
		t.Fatal(err)
	}
	w.Containers[site] = append(w.Containers[site], container)
}

// A is the first site.
func (w *World) A() *Site { return w.Deployment.Sites[0] }

// Spots looks all containers up, waiting for those that the engine starts anew.
func (w *World) Spots(t *testing.T) []Spot {
	t.Helper()
	var all []Spot
	for i := range w.Deployment.Sites {
		all = append(all, w.SpotsAt(t, i)...)
	}
	return all
}

// SpotsAt is Spots for one site.
func (w *World) SpotsAt(t *testing.T, site int) []Spot {
	t.Helper()
	spots := make([]Spot, len(w.Containers[site]))
	ctx := Within(t, 20*time.Second)
	var group errgroup.Group
	for i, container := range w.Containers[site] {
		group.Go(func() error {
			return Await(ctx, func() (err error) {
				spots[i], err = w.Deployment.Sites[site].Spot(ctx, container, w.Network.Name)
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
func (w *World) converse(t *testing.T, spots []Spot) {
	t.Helper()
	first, b, c := spots[0], spots[2], spots[3]
	if w.dialogues == nil {
		w.dialogues = make([]Job, 2)
		w.ping = Enter(t, b, "ping", "-n", "-D", "-i", "0.1", first.Addresses[0])
	}
	for i, ends := range [][2]Spot{{b, first}, {first, c}} {
		if w.dialogues[i].Process == nil || !w.dialogues[i].runs() {
			w.dialogues[i] = Enter(t, ends[0], "probe", "tcp-dialogue", "-to", ends[1].Addresses[0]+":7", "-for", "20m", "-patience", "30s")
		}
	}
	var both sync.WaitGroup
	for _, talk := range w.dialogues {
		both.Go(func() {
			if err := moreAnswers(Within(t, Healing), talk); err != nil {
				t.Errorf("a TCP connection does not go on: %v", err)
			}
		})
	}
	both.Wait()
}
