package network

import (
	"context"
	"crypto/ed25519"
	"testing"
	"testing/synctest"
	"time"

	"evio/overlay"
	"evio/overlay/member"
)

// Frames that wait are given up in time though nothing else happens.
func TestHeldFramesExpireByThemselves(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n := bare(t)
		n.fabric = &sink{idle: "evf0"}
		key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
		book, err := member.Open(member.Config{Dir: dir, Key: key, Log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		n.switched = newApplier(n.log, func(context.Context) error { return nil })
		node := overlay.New(overlay.Config{Overlay: "blue", Key: key, Book: book, Fabric: fabric{n}, Log: quiet()})
		n.node.Store(node)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			node.Run(ctx)
		}()
		hold := func() {
			node.After(func() { n.flooded(table(), there, told(theirs, unknown4, theirs), time.Now()) })
			synctest.Wait()
		}
		hold()
		<-time.After(time.Second)
		hold()
		for _, want := range []uint64{0, 1, 2} {
			if got := n.drops.notHolder.Load(); got != want {
				t.Errorf("%d given up, want %d", got, want)
			}
			<-time.After(time.Second + time.Millisecond)
			synctest.Wait()
		}
		cancel()
		<-done
	})
}
