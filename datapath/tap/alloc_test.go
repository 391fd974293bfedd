//go:build !race

package tap

import (
	"testing"

	"golang.org/x/sys/unix"

	"evio/datapath/frame"
)

// The race detector has a sync.Pool forget things, so that it can see what comes of that.

func TestNoAllocations(t *testing.T) {
	for name, o := range map[string]Offloads{"all": AllOffloads, "none": {}} {
		t.Run(name, func(t *testing.T) {
			d, bridge := pair(t, o)
			frames := []frame.Frame{{Data: make([]byte, 1414)}, super(frame.TCP4, 1300), {Data: make([]byte, 60)}}
			buf, v := make([]byte, 70000), new(frame.Vector)
			if n := testing.AllocsPerRun(1000, func() {
				if _, err := d.WriteFrames(frames); err != nil {
					t.Fatal(err)
				}
				for {
					n, err := unix.Read(bridge, buf)
					if n <= 0 || err != nil {
						break
					}
					if _, err := unix.Write(bridge, buf[:n]); err != nil {
						t.Fatal(err)
					}
				}
				if err := d.ReadFrames(v); err != nil || len(v.Frames) < len(frames) {
					t.Fatal(len(v.Frames), err)
				}
				v.Release()
			}); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}
