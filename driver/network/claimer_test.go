package network

import (
	"bytes"
	"context"
	"testing"
	"time"

	"evio/datapath/packet"
	"evio/driver/network/claims"
)

// The answers of a container are heard however much others ask for at the time, and no
// container fills the queue with answers.
func TestAnswersComeThrough(t *testing.T) {
	n := bare(t)
	c := n.claimer
	has := claims.Claim{Addr: unknown4, MAC: theirs}
	c.granted.Store(&map[string][]claims.Claim{"box": {has}})
	for c.offer(func(context.Context, time.Time) {}) {
	}
	waiting := len(c.queue)
	answer := packet.Answer(nil, packet.Query{Target: has.Addr, Asker: claims.Asker, Source: our4}, has.MAC)
	for range 1000 {
		n.claimer.answerCame(answer)
		n.claimer.answerCame(packet.Answer(nil, packet.Query{Target: our4, Asker: claims.Asker, Source: our4}, ours))
	}
	if got := len(c.queue) - waiting; got != 1 {
		t.Errorf("%d answers wait, want one", got)
	}
	other := bytes.Clone(answer)
	other[packet.HeaderLen-2] = 0x86 // no ARP any more
	if before := n.drops.malformed.Load(); !n.claimer.answerCame(other) || n.drops.malformed.Load() != before+1 {
		t.Error("what is sent to the asker and answers nothing is not counted")
	}
}

// A switch that was restarted counts from the beginning, and one that does not answer tells
// nothing: what cannot be asked is not given up for either.
func TestUseOverARestartOfTheSwitch(t *testing.T) {
	c := bare(t).claimer
	alone, addr := claims.Key{MAC: theirs}, claims.Key{Addr: unknown4}
	for i, look := range []struct {
		k     claims.Key
		count uint64
		told  bool
		want  bool
	}{
		{alone, 1, true, true}, {alone, 1, true, false}, {alone, 1000, true, true}, {alone, 0, false, true},
		{alone, 7, true, true}, {alone, 7, true, false}, {alone, 0, true, false},
		{addr, 1, true, false}, {addr, 1000, true, true}, {addr, 0, false, false}, {addr, 7, true, true},
	} {
		if got := c.uses(look.k, look.count, look.told); got != look.want {
			t.Errorf("look %d: %v", i, got)
		}
	}
}
