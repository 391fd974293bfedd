package session

import (
	"encoding/binary"
	"testing"
	"time"
)

// TestRekeysOverRealSockets replaces keys ten times a second under a counted stream.
func TestRekeysOverRealSockets(t *testing.T) {
	const (
		every  = 100 * time.Millisecond
		rekeys = 15
		burst  = 8 // frames each millisecond
	)
	a, b := newLoopbackEnd(t), newLoopbackEnd(t)
	lower, higher := establishFor(t, a, b, every)
	seen, counted := make(map[uint32]int), make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(counted)
		for {
			select {
			case r := <-higher.received:
				for _, frame := range r.frames {
					seen[binary.BigEndian.Uint32(frame)]++
				}
			case <-stop:
				if len(higher.received) == 0 {
					return
				}
			}
		}
	}()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patience)
	sent := uint32(0)
	for lower.session.Info().Rekeys < rekeys {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("%d rekeys within %v, want %d", lower.session.Info().Rekeys, patience, rekeys)
		}
		frames := make([][]byte, burst)
		for i := range frames {
			frames[i] = binary.BigEndian.AppendUint32(nil, sent)
			sent++
		}
		if err := lower.session.Send(Data, frames); err != nil {
			t.Fatal(err)
		}
	}
	for higher.session.Info().RxFrames < uint64(sent) {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("%d of %d frames arrived; drops %v", higher.session.Info().RxFrames, sent, higher.session.Info().Drops)
		}
	}
	close(stop)
	<-counted
	for number := range sent {
		if seen[number] != 1 {
			t.Fatalf("frame %d arrived %d times", number, seen[number])
		}
	}
	for _, e := range []*end{a, b} {
		e.session.Close()
		e.waitClosed(t)
		e.check(t)
	}
}
