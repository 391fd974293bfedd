//go:build e2e

package hostile

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"evio/integration/scenario"
	"evio/integration/testbed"
)

// TestHostileNeighbour: forged frames of a container are refused on every path, to another container
// of its engine or over the wire, and so are those of a member. The host gets none of them, whatever
// becomes of the switch and of what shields it.
func TestHostileNeighbour(t *testing.T) {
	f := newNeighbourhood(t)
	before := f.states(t)
	t.Run("container to container", func(t *testing.T) { f.try(t, f.containerWay(f.beside, f.far, f.a, besideName)) })
	t.Run("container to wire", func(t *testing.T) { f.try(t, f.containerWay(f.far, f.beside, f.b, open.Name)) })
	t.Run("wire to container", func(t *testing.T) { f.try(t, f.memberWay(t)) })
	f.unmoved(t, before)
	t.Run("switch killed", f.switchKilled)
	f.unmoved(t, before)
	t.Run("storm", f.neighbourStorm)
	t.Run("shield removed", f.shieldRemoved)
	t.Run("without BPF", f.withoutBPF)
	f.unmoved(t, before)
	t.Run("without BPF and nftables", f.withoutShield)
	f.unmoved(t, before)
}

// try sends the table: honest frames arrive, others are counted by their cause and do not.
func (f *neighbours) try(t *testing.T, w neighbourWay) {
	ear := scenario.Listen(t, w.ear, w.namespace)
	for _, c := range forgeries(t, w.me, w.victim, w.other) {
		t.Run(c.name, func(t *testing.T) {
			if c.cause == "" {
				w.send(t, c.flooded, c.frame)
				ear.Await(t, c.token)
				return
			}
			where := w.where
			if c.cause == "not-its-address" { // the receiver's engine knows what it has
				where = w.ear
			}
			scenario.Moves(t, where, refusals(c.cause), 1, func() { w.send(t, c.flooded, c.frame) })
			after := "after " + c.name + "."
			w.send(t, false, frame(t, w.me.mac, w.victim.mac, after, udp4(w.me.v4, w.victim.v4, 9, 9)...))
			ear.Await(t, after)
			if ear.Heard(t, forgedToken) != 0 {
				t.Error("it arrived")
			}
		})
	}
}

// toTheHost sends what a host takes, would it get it: a datagram for its own address.
func (f *neighbours) toTheHost(t *testing.T) {
	t.Helper()
	addr, err := netip.ParseAddr(f.a.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	f.utter(t, frame(t, f.attacker.mac, everybody, "for the host", udp4(f.attacker.v4, addr, 9, closedPort)...))
}

// deaf fails the test if the host of site a hears a container while something is done.
func (f *neighbours) deaf(t *testing.T, do func()) {
	t.Helper()
	before := f.hostHeard(t)
	do()
	if now := f.hostHeard(t); now != before {
		t.Errorf("the host's stack got datagrams of a container: %s before, %s now", before, now)
	}
}

// switchKilled: the whole table while ovs-vswitchd dies every 2 s.
func (f *neighbours) switchKilled(t *testing.T) {
	near, far := scenario.Listen(t, f.a, besideName), scenario.Listen(t, f.b, open.Name)
	ctx, cancel := context.WithCancel(t.Context())
	killed := make(chan int)
	go func() {
		times := 0
		defer func() { killed <- times }()
		tick := time.NewTicker(2 * time.Second)
		defer tick.Stop()
		for ctx.Err() == nil {
			if f.a.KillPrograms(ctx, "ovs-vswitchd") == nil {
				times++
			}
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
	}()
	f.deaf(t, func() {
		for end := time.Now().Add(9 * time.Second); time.Now().Before(end); {
			for _, victim := range [][2]host{{f.beside, f.far}, {f.far, f.beside}} {
				for _, c := range forgeries(t, f.attacker, victim[0], victim[1]) {
					if c.cause != "" {
						f.utter(t, c.frame)
						f.toTheHost(t)
					}
				}
			}
		}
	})
	cancel()
	t.Logf("ovs-vswitchd was killed %d times", <-killed)
	f.friendly(t)
	if near.Heard(t, forgedToken)+far.Heard(t, forgedToken) != 0 {
		t.Error("a forged frame arrived")
	}
}

// neighbourStorm: 20,000 broadcasts a second of one container keep no other from starting,
// nor its announcement from the other sites, nor the others from finding each other.
func (f *neighbours) neighbourStorm(t *testing.T) {
	const joining = 2 * time.Second
	ear := scenario.Listen(t, f.b, open.Name)
	before := refusals("flood-container-limit").Read(scenario.Document(t, f.a))
	p, err := f.a.Start(scenario.Within(t, 10*time.Second), "storm", "nsenter", "--net=/run/netns/"+open.Name, "probe", "count-send",
		"-to", fmt.Sprintf("10.%d.255.255:9", open.Net), "-rate", "20000", "-size", "60", "-for", "15s")
	if err != nil {
		t.Fatal(err)
	}
	scenario.Pause(t, time.Second)
	for n := 11; n <= 14; n++ {
		name := fmt.Sprintf("late%d", n)
		took, err := f.a.AttachTimed(scenario.Within(t, 20*time.Second), open.Name, name, addressesAt(n)...)
		if err != nil {
			t.Fatal(err)
		}
		if t.Logf("%s: Join took %v", name, took.Round(time.Millisecond)); took > joining {
			t.Errorf("that is more than %v", joining)
		}
		v4 := addressesAt(n)[0].Addr().As4()
		ear.Await(t, string(v4[:])) // of its announcement
		scenario.Until(t, 5*time.Second, func() error {
			_, err := f.a.InNamespace(scenario.Within(t, 5*time.Second), besideName, "ping", "-q", "-c", "1", "-W", "1", addressesAt(n)[0].Addr().String())
			return err
		})
	}
	scenario.Until(t, 5*time.Second, func() error {
		_, err := f.a.InNamespace(scenario.Within(t, 5*time.Second), besideName, "ping", "-q", "-c", "1", "-W", "1", f.far.v4.String())
		return err
	})
	scenario.Until(t, 10*time.Second, func() error {
		d := scenario.Document(t, f.a)
		if after := refusals("flood-container-limit").Read(d); after == before || !strings.Contains(strings.Join(d.Faults, "\n"), "flood-container-limit") {
			return fmt.Errorf("what is more than the container's share is not counted, or no fault: %d before, %d now: %q", before, after, d.Faults)
		}
		return nil
	})
	if err := p.Stop(scenario.Within(t, 20*time.Second), "TERM"); err != nil {
		t.Error(err)
	}
	for n := 11; n <= 14; n++ {
		if err := f.a.Detach(scenario.Within(t, 20*time.Second), open.Name, fmt.Sprintf("late%d", n)); err != nil {
			t.Error(err)
		}
	}
}

// shieldRemoved: what administrators do to nftables is put right within two seconds.
func (f *neighbours) shieldRemoved(t *testing.T) {
	before := scenario.OverlayAt(t, f.a, open.Name).Repairs["shield"]
	if _, err := f.a.Run(scenario.Within(t, 10*time.Second), "nft", "flush", "ruleset"); err != nil {
		t.Fatal(err)
	}
	removed := time.Now()
	scenario.Until(t, 10*time.Second, func() error {
		if scenario.OverlayAt(t, f.a, open.Name).Repairs["shield"] == before {
			return errors.New("nothing was repaired")
		}
		return nil
	})
	t.Logf("put back %v after it was removed", time.Since(removed).Round(10*time.Millisecond))
	if took := time.Since(removed); took > 2*time.Second {
		t.Errorf("put back after %v", took)
	}
	f.deaf(t, func() { f.toTheHost(t) })
}

// withoutBPF: nftables need CAP_NET_ADMIN alone.
func (f *neighbours) withoutBPF(t *testing.T) {
	f.restart(t, testbed.EvioOptions{Without: noBPF}, func() {})
	scenario.AwaitSession(t, 30*time.Second, f.a, open.Name, f.b.Account.JID)
	f.friendly(t)
	w := f.containerWay(f.beside, f.far, f.a, besideName)
	f.deaf(t, func() {
		f.toTheHost(t)
		f.try(t, w)
	})
}

// withoutShield: without either there is no port, and a fault that says why; they come when
// the kernel takes one again.
func (f *neighbours) withoutShield(t *testing.T) {
	tables, err := f.a.Run(scenario.Within(t, 10*time.Second), "nft", "list", "tables", "netdev")
	if err != nil {
		t.Fatal(err)
	}
	table := tables[strings.LastIndex(tables, " ")+1:]
	var holder *testbed.Process
	f.restart(t, testbed.EvioOptions{Without: noBPF}, func() {
		_, err := f.a.Run(scenario.Within(t, 10*time.Second), "nft", "delete", "table", "netdev", strings.TrimSpace(table))
		if err != nil {
			t.Fatal(err)
		}
		if holder, err = f.a.Start(scenario.Within(t, 10*time.Second), "holder", "probe", "seize", "-table", strings.TrimSpace(table)); err != nil {
			t.Fatal(err)
		}
		scenario.Until(t, 5*time.Second, func() error { return scenario.Job{Process: holder, Name: "seize"}.Last(&struct{ Seized string }{}) })
	})
	scenario.Until(t, 30*time.Second, func() error {
		d := scenario.Document(t, f.a)
		if faults := strings.Join(d.Faults, "\n"); d.Health.Healthy || !strings.Contains(faults, "nftables") {
			return fmt.Errorf("healthy %v, faults %q", d.Health.Healthy, faults)
		}
		return nil
	})
	f.deaf(t, func() { f.toTheHost(t) })
	if err := f.a.Attach(scenario.Within(t, 30*time.Second), open.Name, "refused", addressesAt(20)...); err == nil {
		t.Error("a container was attached though the host cannot be shielded from it")
	} else {
		t.Log(err)
	}
	if _, err := f.a.InNamespace(scenario.Within(t, 5*time.Second), besideName, "ping", "-q", "-c", "1", "-W", "1", f.attacker.v4.String()); err == nil {
		t.Error("containers talk by ports that should not be there")
	}
	if err := holder.Stop(scenario.Within(t, 10*time.Second), "TERM"); err != nil {
		t.Fatal(err)
	}
	f.friendly(t)
	scenario.Until(t, 10*time.Second, func() error {
		if faults := strings.Join(scenario.Document(t, f.a).Faults, "\n"); strings.Contains(faults, "nftables") {
			return errors.New(faults)
		}
		return nil
	})
}
