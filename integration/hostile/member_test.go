//go:build e2e

package hostile

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"evio/integration/scenario"
	"evio/integration/testbed"
)

const (
	flipsEach = time.Second / 150 // between two records
	flipsFor  = time.Minute
	// youth is how long it may still turn out that another member made a claim first.
	youth = time.Minute
	// mostLines is what a node may log in a minute in which a member lies.
	mostLines = 6
)

// TestHostileMember: a member that says of other members' addresses whatever it likes takes none of
// them, keeps nobody from new ones, ends no session between others and fills no log. It is named
// once, by the member that it wants to take from, and nobody else is named.
func TestHostileMember(t *testing.T) {
	v := newVillage(t)
	young := v.settled
	v.lines(t, v.a, v.b, v.c) // what was logged until now
	t.Run("squats", v.squats)
	t.Run("honest failover", v.failover)
	if !sleepUntil(t, young.Add(youth)) {
		return
	}
	t.Run("flips", v.flips)
	t.Run("high generation", func(t *testing.T) {
		v.lie(t)
		v.held(t)
	})
	t.Run("reconnects", func(t *testing.T) {
		for range 2 {
			v.reconnects(t)
			v.lie(t)
			v.held(t)
		}
	})
	t.Run("silent", func(t *testing.T) {
		v.member.ask(t, "POST /silence", true, nil)
		v.reconnects(t)
		v.lie(t)
		v.held(t)
		v.member.ask(t, "POST /silence", false, nil)
	})
	v.named(t)
}

// squats: all addresses of a's and b's ranges, and what lies outside of them, are claimed with many
// MAC addresses, and both engines start containers with addresses of their own ranges.
func (v *village) squats(t *testing.T) {
	for i := range 2 {
		for _, generation := range []uint64{1, highest} {
			v.member.ask(t, "POST /lie", lied{MAC: fmt.Sprintf("0666%02x000000", i+1), Prefix: fmt.Sprintf("10.%d.%d.0/24", open.Net, i+1), Generation: generation}, nil)
		}
	}
	node := map[string]string{}
	for i, s := range []*scenario.Site{v.a, v.b} {
		const container = "late"
		scenario.StartContainer(t, s, container, v.net.Name)
		v4, _ := scenario.Addresses(t, s, container, v.net.Name)
		if want := netip.MustParsePrefix(fmt.Sprintf("10.%d.%d.0/24", open.Net, i+1)); !want.Contains(netip.MustParseAddr(v4)) {
			t.Errorf("%s: its container has %s, which is not of %v", s.Name(), v4, want)
		}
		node[v4] = scenario.OverlayAt(t, s, open.Name).Node
	}
	for _, s := range v.Sites {
		scenario.Until(t, 5*time.Second, func() error {
			known := 0
			for _, e := range scenario.OverlayAt(t, s, open.Name).Directory {
				if node[e.Address] == e.Node {
					known++
				}
			}
			if known != len(node) {
				return fmt.Errorf("%s knows %d of %d late containers where they are", s.Name(), known, len(node))
			}
			return nil
		})
	}
	scenario.Exec(t, v.a, "late", "ping", "-q", "-c", "3", "-i", "0.2", "-W", "2", v.address(t, v.b))
}

// failover: c dies, and its address goes to a container of b; then c is there again. Nobody lies.
func (v *village) failover(t *testing.T) {
	ctx := scenario.Within(t, 40*time.Second)
	address := open.Addresses(v.c)[0].String()
	if err := v.c.KillEvio(ctx); err != nil {
		t.Fatal(err)
	}
	scenario.Until(t, 20*time.Second, func() error {
		_, err := v.b.Docker(ctx, "run", "-d", "--rm", "--name", "heir", "--network", v.net.Name, "--ip", address, testbed.Image)
		if err != nil {
			_, _ = v.b.Docker(ctx, "rm", "-f", "heir")
		}
		return err
	})
	if err := v.c.StartEvio(ctx, testbed.EvioOptions{}); err != nil {
		t.Fatal(err)
	}
	scenario.AwaitSession(t, 20*time.Second, v.c, open.Name, v.b.Account.JID)
	if _, err := v.b.Docker(ctx, "rm", "-f", "heir"); err != nil {
		t.Fatal(err)
	}
	node := scenario.OverlayAt(t, v.c, open.Name).Node
	for _, s := range v.Sites {
		scenario.Until(t, 20*time.Second, func() error {
			for _, e := range scenario.OverlayAt(t, s, open.Name).Directory {
				if e.Address == address && e.Node == node {
					return nil
				}
			}
			return fmt.Errorf("%s does not know that %s is c's again", s.Name(), address)
		})
	}
	v.meet(t)
}

// flips: claims and withdrawals of the victim's, in turn, as fast as the member may.
func (v *village) flips(t *testing.T) {
	h := v.victim(t)
	type pair struct{ s, o *scenario.Site }
	sessions := map[pair]time.Time{}
	for _, s := range v.Sites {
		for _, o := range v.Sites {
			if s != o {
				sessions[pair{s, o}] = scenario.AwaitSession(t, time.Second, s, open.Name, o.Account.JID).Established
			}
		}
	}
	v.lines(t, v.Sites...)
	pinged := make(chan string, 1)
	far := v.address(t, v.b)
	ctx := scenario.Within(t, flipsFor+30*time.Second)
	go func() {
		count := strconv.Itoa(int(flipsFor / (100 * time.Millisecond)))
		out, err := v.a.Exec(ctx, scenario.ContainerName(v.a, v.net), "ping", "-q", "-i", "0.1", "-c", count, "-W", "2", far)
		pinged <- fmt.Sprint(out, err)
	}()
	err := v.member.try(ctx, "POST /lie", lied{
		MAC: hex.EncodeToString(h.mac), Addresses: []netip.Addr{h.v4, h.v6}, Generation: highest,
		Flips: int(flipsFor / flipsEach), Every: flipsEach.Microseconds(),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	out := <-pinged
	lost := regexp.MustCompile(`([\d.]+)% packet loss`).FindStringSubmatch(out)
	if lost == nil {
		t.Fatalf("ping printed %q", out)
	}
	t.Logf("a to b: %s", lost[0])
	if percent, err := strconv.ParseFloat(lost[1], 64); err != nil || percent >= 1 {
		t.Errorf("want less than 1%%: %v", err)
	}
	for p, established := range sessions {
		now := scenario.SessionWith(t, p.s, open.Name, p.o.Account.JID)
		if now == nil || !now.Established.Equal(established) {
			t.Errorf("the session of %s with %s ended", p.s.Name(), p.o.Name())
		}
	}
	for s, lines := range v.lines(t, v.Sites...) {
		t.Logf("%s has logged %d lines", s.Name(), len(lines))
		if len(lines) > mostLines {
			t.Errorf("want %d at most:\n%s", mostLines, strings.Join(lines[:min(len(lines), 12)], "\n"))
		}
	}
	v.held(t)
}

// named fails the test unless the victim's site has named the member, each site for each thing at
// most once, and nobody else.
func (v *village) named(t *testing.T) {
	t.Helper()
	said := regexp.MustCompile(`level=(?:warning|error) msg=\\?"([^"\\]*)`)
	for _, s := range v.Sites {
		times := map[string]int{}
		v.logged[s] = 0
		for _, line := range v.lines(t, s)[s] {
			if !strings.Contains(line, "level=warning") && !strings.Contains(line, "level=error") {
				continue
			}
			for _, o := range v.Sites {
				if strings.Contains(line, "peer="+o.Account.JID) || strings.Contains(line, `peer=\"`+o.Account.JID) {
					t.Errorf("%s blames %s: %s", s.Name(), o.Name(), line)
				}
			}
			if m := said.FindStringSubmatch(line); m != nil && strings.Contains(line, v.mallory.JID) {
				times[m[1]]++
			}
		}
		if s == v.a && times["it claims what this engine has"] == 0 {
			t.Errorf("%s does not name the member", s.Name())
		}
		for what, n := range times {
			t.Logf("%s says %d times of the member: %s", s.Name(), n, what)
			if n > 1 {
				t.Errorf("%s says it %d times: %s", s.Name(), n, what)
			}
		}
	}
}
