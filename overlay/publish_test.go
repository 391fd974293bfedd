package overlay

import (
	"testing"
	"testing/synctest"
	"time"

	"evio/overlay/directory"
	"evio/overlay/nodeid"
)

// However fast the directory changes, whoever looks sees it at once, and the fabric gets
// every 50 ms what differs from before.
func TestFabricIsToldNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &toldFabric{}
		n := still(t, f)
		other := nodeid.ID{9}
		change := func(number byte, to nodeid.ID) {
			e := directory.Entry{MAC: hw(number), Node: to}
			n.directoryChanged(directory.Update{Changes: []directory.Change{{Key: directory.Key{MAC: hw(number)}, After: e}}}, time.Now())
			if got, _ := n.Table().LookupMAC(hw(number)); got.Node != to {
				t.Errorf("the table gives %v, want %v", got.Node, to)
			}
			n.publish(time.Now())
		}
		for i := range 100 { // one that flips, and goes back before anybody is notified
			change(1, nodeid.ID{byte(i%2) * 9})
			change(byte(2+i/10), other)
			<-time.After(10 * time.Millisecond)
		}
		n.publish(time.Now())
		if f.calls > 21 || f.calls < 19 {
			t.Errorf("told %d times in a second", f.calls)
		}
		if f.changes > 2*f.calls+10 {
			t.Errorf("%d changes in %d calls", f.changes, f.calls)
		}
		if len(n.pending) != 0 {
			t.Errorf("%d changes are not told", len(n.pending))
		}
	})
}
