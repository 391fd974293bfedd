package session

import (
	"errors"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"evio/datapath/session/connect"
)

// awaitOffer waits until an end has parameters with a relayed candidate, and
// connects both with them.
func awaitOffer(t *testing.T, a, b *end) {
	t.Helper()
	a.own = await(t, a.parameters, "parameters with a relay")
	connectEnds(t, a, b)
}

func TestRefusedRelayIsAskedForAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a, b *end) {
		p := n.turnOf(a, "203.0.113.1:50000")
		p.setRefuse(errors.New("resting"))
		n.blockDirect()
		a.open(t, b, nil)
		b.open(t, a, nil)
		connectEnds(t, a, b)
		advance(6 * time.Second)
		p.setRefuse(nil)
		awaitOffer(t, a, b)
		await(t, a.established, "Established")
		await(t, b.established, "Established")
	})
}

func TestRelayLostWhileConnectingIsAskedForAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a, b *end) {
		p := n.turnOf(a, "203.0.113.1:50000")
		n.blockDirect()
		a.open(t, b, nil)
		b.open(t, a, nil)
		connectEnds(t, a, b)
		await(t, a.parameters, "parameters with a relay")
		lost := p.at
		p.lose()
		awaitOffer(t, a, b)
		own, err := connect.ParseParameters(a.own)
		if err != nil {
			t.Fatal(err)
		}
		last := own.Candidates[len(own.Candidates)-1]
		if len(own.Candidates) != 2 || last.Type != webrtc.ICECandidateTypeRelay || last.Addr == lost {
			t.Errorf("the peer is told %v, want the host and another relayed address than %v", own.Candidates, lost)
		}
		await(t, a.established, "Established")
		await(t, b.established, "Established")
	})
}

func TestLostRelayIsAskedForUntilThereIsOne(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a, b *end) {
		p := n.turnOf(a, "203.0.113.1:50000")
		n.blockDirect()
		establishRelayed(t, a, b)
		advance(2 * time.Second)
		p.setRefuse(errors.New("resting"))
		p.lose()
		advance(500 * time.Millisecond)
		p.setRefuse(nil)
		advance(4 * time.Second)
		for _, e := range []*end{a, b} {
			if state := e.session.State(); state != Established {
				t.Fatalf("session is %v, want established over another relay", state)
			}
		}
		swap(t, a, b)
	})
}

// TestBothRelaysComeAtTheirTime has an end with IPv6 only, which needs the relayed
// address of its own: parameters that come meanwhile must not put it off.
func TestBothRelaysComeAtTheirTime(t *testing.T) {
	for _, late := range []time.Duration{0, 50 * time.Millisecond, 400 * time.Millisecond} {
		bubble(t, []string{"192.0.2.1:4000"}, []string{"[2001:db8::2]:4000"}, func(t *testing.T, n *network, a, b *end) {
			n.turnOf(a, "203.0.113.1:50000")
			n.turnOf(b, "203.0.113.2:50000")
			a.open(t, b, nil)
			b.open(t, a, nil)
			n.blockDirect()
			began := time.Now()
			if err := a.session.Connect(b.own, bind(a, b)); err != nil {
				t.Fatal(err)
			}
			advance(late)
			if err := b.session.Connect(a.own, bind(a, b)); err != nil {
				t.Fatal(err)
			}
			signal(t, a, b)
			if took := time.Since(began); took > connect.TURNAfter+late+1500*time.Millisecond {
				t.Errorf("%v apart: established after %v, want about %v", late, took, connect.TURNAfter+late)
			}
			swap(t, a, b)
		})
	}
}
