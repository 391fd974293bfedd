package network

import (
	"context"
	"testing"
	"testing/synctest"
)

// A group ends what it runs, one at a time or all at once, and then begins nothing.
func TestGroupEndsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g group
		var ended []string
		run := func(name string) func(context.Context) {
			return func(ctx context.Context) {
				<-ctx.Done()
				ended = append(ended, name)
			}
		}
		stop := g.begin(t.Context(), run("first"))
		stop()
		synctest.Wait()
		if len(ended) != 1 || len(g.running) != 0 {
			t.Errorf("stopped: %v ended, %d run", ended, len(g.running))
		}
		g.begin(t.Context(), run("second"))
		g.end()
		g.end()
		g.wait()
		if len(ended) != 2 {
			t.Errorf("%v ended", ended)
		}
		g.begin(t.Context(), func(context.Context) { t.Error("runs after the end") })()
		g.wait()
	})
}
