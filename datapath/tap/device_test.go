package tap

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"evio/datapath/frame"
)

// pair returns a device, and what a bridge would be: sockets that keep the bounds of what is
// written take the place of the kernel's device.
func pair(t *testing.T) (*device, int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fds[1]) })
	d, err := newDevice(os.NewFile(uintptr(fds[0]), "pair"), Config{Name: "pair", MTU: 1400})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d, fds[1]
}

// TestReadDrains: one call takes all frames that wait, in their order.
func TestReadDrains(t *testing.T) {
	d, bridge := pair(t)
	const frames = 20
	for i := range frames {
		if _, err := unix.Write(bridge, bytes.Repeat([]byte{byte(i)}, 60+i)); err != nil {
			t.Fatal(err)
		}
	}
	var v frame.Vector
	if err := d.ReadFrames(&v); err != nil || len(v.Frames) != frames {
		t.Fatalf("%d frames, %v", len(v.Frames), err)
	}
	for i, f := range v.Frames {
		if !bytes.Equal(f.Data, bytes.Repeat([]byte{byte(i)}, 60+i)) || f.Partial || f.Kind != frame.Single {
			t.Errorf("frame %d: %+v", i, f)
		}
	}
	if s := d.Stats(); s.ReadFrames != frames || s.Reads != frames+1 {
		t.Errorf("%+v", s)
	}
	if err := d.ReadFrames(&v); err == nil {
		t.Error("a vector with frames is read into")
	}
	v.Release()
}

// TestWaitingHoldsNoMemory: while a reader waits, its vector is as it was made.
func TestWaitingHoldsNoMemory(t *testing.T) {
	d, _ := pair(t)
	var v frame.Vector
	done := make(chan error)
	go func() { done <- d.ReadFrames(&v) }()
	for d.Stats().Reads == 0 { // it looks once before it waits
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
	if v.Frames != nil {
		t.Error("the vector has memory")
	}
}

func TestBadLengthIsCounted(t *testing.T) {
	d, bridge := pair(t)
	for _, n := range []int{13, 1415, 60} {
		if _, err := unix.Write(bridge, make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	}
	var v frame.Vector
	if err := d.ReadFrames(&v); err != nil || len(v.Frames) != 1 || len(v.Frames[0].Data) != 60 {
		t.Fatalf("%d frames, %v", len(v.Frames), err)
	}
	v.Release()
	n, err := d.WriteFrames([]frame.Frame{{Data: make([]byte, 13)}, {}, {Data: make([]byte, 1415)}, {Data: make([]byte, 60)}})
	if n != 4 || err != nil {
		t.Fatal(n, err)
	}
	if s := d.Stats(); s.BadLength != 5 || s.WrittenFrames != 1 || s.Writes != 1 {
		t.Errorf("%+v", s)
	}
}

// TestFullIsRefused: what the kernel has no room for is counted, and the write goes on.
func TestFullIsRefused(t *testing.T) {
	d, _ := pair(t)
	frames := []frame.Frame{{Data: make([]byte, 1414)}}
	for range 10000 {
		if n, err := d.WriteFrames(frames); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if d.Stats().Refused > 0 {
			return
		}
	}
	t.Error("nothing is refused")
}

func TestClosed(t *testing.T) {
	d, _ := pair(t)
	for range 2 {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.ReadFrames(new(frame.Vector)); !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
	if _, err := d.WriteFrames([]frame.Frame{{Data: make([]byte, 60)}}); !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
}

func TestNoAllocations(t *testing.T) {
	d, bridge := pair(t)
	frames := make([]frame.Frame, 4)
	for i := range frames {
		frames[i].Data = make([]byte, 1414)
	}
	buf, v := make([]byte, 2000), new(frame.Vector)
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := d.WriteFrames(frames); err != nil {
			t.Fatal(err)
		}
		for range frames {
			n, err := unix.Read(bridge, buf)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := unix.Write(bridge, buf[:n]); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.ReadFrames(v); err != nil || len(v.Frames) != len(frames) {
			t.Fatal(len(v.Frames), err)
		}
		v.Release()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
