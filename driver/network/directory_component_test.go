//go:build component

package network

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"evio/driver/status"
	"evio/overlay"
)

// An engine goes away without its container, whose address another engine then gives
// to one of its own. Back again it finds it taken, and has it when that one is gone.
// Containers that talked to one owner talk to the next one by themselves.
func TestAddressIsTakenOver(t *testing.T) {
	for name, mac := range map[string]overlay.MAC{"one MAC address": hw(1), "another MAC address": hw(9)} {
		t.Run(name, func(t *testing.T) {
			a, b := pair(t)
			owner, heir, near, far := b.box(1), a.box(1), a.box(3), b.box(4)
			heir.spec.MAC = mac
			owner.attach()
			near.attach()
			far.attach()
			knows(t, a, owner)
			mustPing(t, near, owner)
			if err := check(heir); err == nil || !strings.Contains(err.Error(), owner.addr4().String()) || !strings.Contains(err.Error(), b.jid()) {
				t.Errorf("checked while another has it: %v", err)
			}
			if err := heir.join(); err == nil || !strings.Contains(err.Error(), b.jid()) {
				t.Errorf("joined while another has it: %v", err)
			}

			stopped := time.Now()
			b.stop()
			eventually(t, "the address is free", func() bool { return check(heir) == nil })
			if after := time.Since(stopped); after < 3*time.Second {
				t.Errorf("free %v after its owner went", after)
			}
			heir.attach()
			eventually(t, "the new owner is reached", func() bool { return near.pingOnce(heir.addr4()) == nil && near.pingOnce(heir.addr6()) == nil })

			b.start()
			b.addNetwork("blue")
			for _, x := range []*box{owner, far} {
				x.spec.Adopt = true
				if err := x.join(); err != nil {
					t.Fatal(err)
				}
			}
			linked(t, a, b)
			eventually(t, "b shows what it lost", func() bool { return len(b.conflicts()) == 2 })
			for _, c := range b.conflicts() {
				if c.JID != a.jid() || c.Node != a.network().currentNode().ID().String() {
					t.Errorf("%+v", c)
				}
			}
			if got := a.conflicts(); len(got) != 0 {
				t.Errorf("the owner shows %+v", got)
			}
			mustPing(t, near, heir)
			eventually(t, "the other engine's container reaches the owner", func() bool { return far.pingOnce(heir.addr4()) == nil })
			eventually(t, "the loser is kept from its address", func() bool { return owner.pingQuick(far) != nil })
			before := owner.received(t)
			mustPing(t, far, heir)
			if after := owner.received(t); after != before {
				t.Errorf("the loser got %s, before: %s", after, before)
			}

			if err := heir.leave(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "b has it again", func() bool { return len(b.conflicts()) == 0 && near.pingQuick(owner) == nil })
			mustPing(t, near, owner)
			mustPing(t, owner, near)
		})
	}
}

func check(b *box) error {
	ctx, cancel := context.WithTimeout(b.rig.t.Context(), 5*time.Second)
	defer cancel()
	return b.rig.plane.CheckEndpoint(ctx, b.spec)
}

func (r *rig) conflicts() []status.Conflict {
	r.t.Helper()
	all := r.plane.Networks(r.t.Context())
	if len(all) != 1 {
		r.t.Fatalf("%d networks", len(all))
	}
	return all[0].Conflicts
}

func (b *box) pingQuick(to *box) error {
	return exec.Command("ip", "netns", "exec", b.ns, "ping", "-c", "1", "-W", "1", to.addr4().String()).Run()
}

// received returns how many echo requests the container has got.
func (b *box) received(t *testing.T) string {
	t.Helper()
	out := run(t, "ip", "netns", "exec", b.ns, "cat", "/proc/net/snmp")
	for i, field := range column(out, 0) {
		if field == "InEchos" {
			return column(out, 1)[i]
		}
	}
	t.Fatal(errors.New(fmt.Sprint("no count of echo requests in ", out)))
	return ""
}

// column returns the words of the n-th line about ICMP.
func column(snmp string, n int) []string {
	for line := range strings.Lines(snmp) {
		if strings.HasPrefix(line, "Icmp:") {
			if n == 0 {
				return strings.Fields(line)
			}
			n--
		}
	}
	return nil
}
