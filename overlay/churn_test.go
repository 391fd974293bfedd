package overlay

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// Whatever happens to the sites, the ways between them and the server, in whatever
// order: when it is over, all are connected by one session each, agree on the
// directory, and a flood of each reaches every other once.
func TestOverlayHealsAfterAnyChurn(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { churn(t, rand.New(rand.NewPCG(seed, 2))) })
		})
	}
}

func churn(t *testing.T, r *rand.Rand) {
	const n = 6
	l := newLab(t, n)
	holder := map[string]int{} // what each site claims in its present life
	cuts := map[[2]int]bool{}
	for range 60 {
		a := r.IntN(n)
		b := (a + 1 + r.IntN(n-1)) % n
		s := l.sites[a]
		addr := address(r.IntN(2 * n))
		switch r.IntN(9) {
		case 0, 1:
			if owner, taken := holder[addr]; !taken || owner == a {
				if err := s.claim(addr, byte(a+1)); err == nil {
					holder[addr] = a
				}
			}
		case 2:
			if holder[addr] == a {
				delete(holder, addr)
				s.node.Withdraw(s.addrs(addr), hw(byte(a+1)))
			}
		case 3:
			s.stop()
			for k, owner := range holder {
				if owner == a {
					delete(holder, k)
				}
			}
			s.start()
		case 4:
			cuts[[2]int{a, b}] = true
			l.wire.setCut(s.id, l.sites[b].id, true)
		case 5:
			for pair := range cuts {
				l.wire.setCut(l.sites[pair[0]].id, l.sites[pair[1]].id, false)
			}
			clear(cuts)
		case 6:
			l.server.Down()
		case 7:
			l.server.Up()
		case 8:
			l.wire.setLoss(r.Float64() / 4)
		}
		pass(time.Duration(r.IntN(3000)) * time.Millisecond)
	}
	l.server.Up()
	l.wire.setLoss(0)
	for i, s := range l.sites {
		for _, o := range l.sites[i+1:] {
			l.wire.setCut(s.id, o.id, false)
		}
	}
	l.until("all are connected again", l.settled)
	pass(15 * time.Second) // replaced sessions end
	for _, s := range l.sites {
		for _, o := range l.sites {
			if s != o && len(l.wire.between(s.id, o.id)) != 1 {
				t.Errorf("%s has %d sessions with %s", s.jid, len(l.wire.between(s.id, o.id)), o.jid)
			}
		}
	}
	for addr, owner := range holder {
		for _, s := range l.sites {
			if !s.sees(addr, l.sites[owner]) {
				e, ok := s.node.Table().Lookup(s.addrs(addr)[0])
				t.Errorf("%s does not see %s at %s: %+v %v", s.jid, addr, l.sites[owner].jid, e, ok)
			}
		}
	}
	for _, s := range l.sites {
		if got := len(s.node.Table().Entries()); got != entriesOf(holder) {
			t.Errorf("%s knows %d entries, want %d", s.jid, got, entriesOf(holder))
		}
	}
	for i, s := range l.sites {
		f := frameOf(hw(byte(i+1)), uint32(1000+i))
		s.node.Flood(f)
		pass(time.Second)
		for j, o := range l.sites {
			if got := o.fabric.count(f); got != min(1, abs(i-j)) {
				t.Errorf("flood of %s at %s: %d times", s.jid, o.jid, got)
			}
		}
	}
}

// entriesOf counts addresses and the MAC addresses behind them.
func entriesOf(holder map[string]int) int {
	macs := map[int]bool{}
	for _, owner := range holder {
		macs[owner] = true
	}
	return len(holder) + len(macs)
}
