//go:build component

package tap

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"evio/datapath/frame"
	"evio/datapath/netdev"
)

const testMTU = 1400

// forBoth runs a test with a TAP of either opener.
func forBoth(t *testing.T, test func(t *testing.T, o Offloads)) {
	for name, o := range map[string]Offloads{"single frames": {}, "super-frames": AllOffloads} {
		t.Run(name, func(t *testing.T) { test(t, o) })
	}
}

func open(t *testing.T, o Offloads) Device {
	t.Helper()
	d, err := Open(Config{Name: "tap0", MTU: testMTU, Offloads: o})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// packetSocket is the bridge's side of a port.
func packetSocket(t *testing.T) int {
	t.Helper()
	ifi, err := net.InterfaceByName("tap0")
	if err != nil {
		t.Fatal(err)
	}
	const all = unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all&0xffff)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	tv := unix.Timeval{Sec: 5}
	if err := errors.Join(
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all & 0xffff, Ifindex: ifi.Index}),
	); err != nil {
		t.Fatal(err)
	}
	return fd
}

// experiment has a local experimental type, so that nobody answers it.
func experiment(length int, fill byte) []byte {
	f := bytes.Repeat([]byte{fill}, length)
	copy(f, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x88, 0xb5})
	return f
}

func TestFramesPassUntouched(t *testing.T) { forBoth(t, testFramesPassUntouched) }

func testFramesPassUntouched(t *testing.T, o Offloads) {
	d := open(t, o)
	bridge := packetSocket(t)
	buf := make([]byte, 65536)
	sizes := []int{14, 60, testMTU + 14}
	var written []frame.Frame
	for i, n := range sizes {
		written = append(written, frame.Frame{Data: experiment(n, byte(i))})
	}
	written = append(written, frame.Frame{Data: experiment(13, 0)}, frame.Frame{}, frame.Frame{Data: experiment(testMTU+15, 0)}) // these are counted
	if n, err := d.WriteFrames(written); n != len(written) || err != nil {
		t.Fatal(n, err)
	}
	for i := range sizes {
		n, _, err := unix.Recvfrom(bridge, buf, 0)
		if err != nil || !bytes.Equal(buf[:n], written[i].Data) {
			t.Fatalf("frame %d: %d bytes, %v", i, n, err)
		}
	}
	for i, n := range sizes {
		if _, err := unix.Write(bridge, written[i].Data); err != nil {
			t.Fatal(n, err)
		}
	}
	var v frame.Vector
	defer v.Release()
	if err := d.ReadFrames(&v); err != nil || len(v.Frames) != len(sizes) {
		t.Fatalf("%d frames, %v", len(v.Frames), err)
	}
	for i, f := range v.Frames {
		if !bytes.Equal(f.Data, written[i].Data) {
			t.Errorf("frame %d: %d bytes", i, len(f.Data))
		}
	}
	want := Stats{
		Reads: 4, Writes: 3, ReadSegments: 3, WrittenSegments: 3,
		ReadFrames: 3, ReadBytes: 14 + 60 + testMTU + 14,
		WrittenFrames: 3, WrittenBytes: 14 + 60 + testMTU + 14, BadLength: 3,
	}
	if diff := cmp.Diff(want, d.Stats()); diff != "" {
		t.Error(diff)
	}
}

func TestCloseWakesReader(t *testing.T) { forBoth(t, testCloseWakesReader) }

func testCloseWakesReader(t *testing.T, o Offloads) {
	d := open(t, o)
	done := make(chan error, 1)
	go func() { done <- d.ReadFrames(new(frame.Vector)) }()
	for range 2 {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-done:
		if !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the reader sleeps on")
	}
	if _, err := d.WriteFrames([]frame.Frame{{Data: experiment(60, 0)}}); !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
	if index, err := netdev.Index("tap0"); err != nil || index != 0 {
		t.Errorf("the device is left: %d, %v", index, err)
	}
}

func TestDeviceIsSilentAndUp(t *testing.T) { forBoth(t, testDeviceIsSilentAndUp) }

func testDeviceIsSilentAndUp(t *testing.T, o Offloads) {
	open(t, o)
	l, err := netlink.LinkByName("tap0")
	if err != nil {
		t.Fatal(err)
	}
	const flags = unix.IFF_UP | unix.IFF_LOWER_UP | unix.IFF_NOARP
	if a := l.Attrs(); a.RawFlags&flags != flags || a.MTU != testMTU {
		t.Errorf("%+v", a)
	}
	ifi, err := net.InterfaceByName("tap0")
	if err != nil {
		t.Fatal(err)
	}
	if list, err := ifi.Addrs(); err != nil || len(list) != 0 {
		t.Errorf("addresses %v, %v", list, err)
	}
}

// TestChildrenDoNotInherit looks at the descriptors of a child process.
func TestChildrenDoNotInherit(t *testing.T) { forBoth(t, testChildrenDoNotInherit) }

func testChildrenDoNotInherit(t *testing.T, o Offloads) {
	open(t, o)
	out, err := exec.Command("ls", "-l", "/proc/self/fd").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(out), "/dev/net/tun") {
		t.Errorf("a child has the TAP:\n%s", out)
	}
}

func TestOpenTwice(t *testing.T) { forBoth(t, testOpenTwice) }

func testOpenTwice(t *testing.T, o Offloads) {
	open(t, o)
	before := descriptors(t)
	for range 3 {
		if _, err := Open(Config{Name: "tap0", MTU: testMTU, Offloads: o}); !errors.Is(err, os.ErrExist) || !strings.Contains(err.Error(), "tap0") {
			t.Error(err)
		}
		if _, _, err := openOffloading("tap0", o); !errors.Is(err, os.ErrExist) { // made since it was looked for
			t.Error(err)
		}
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestDownIsCounted(t *testing.T) { forBoth(t, testDownIsCounted) }

func testDownIsCounted(t *testing.T, o Offloads) {
	d := open(t, o)
	l, err := netlink.LinkByName("tap0")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetDown(l); err != nil {
		t.Fatal(err)
	}
	if n, err := d.WriteFrames([]frame.Frame{{Data: experiment(60, 0)}}); n != 1 || err != nil || d.Stats().Refused != 1 {
		t.Error(n, err, d.Stats())
	}
}

// TestBurst: a device keeps a burst for its reader, and the kernel counts what it does not
// keep to the frame.
func TestBurst(t *testing.T) { forBoth(t, testBurst) }

func testBurst(t *testing.T, o Offloads) {
	d := open(t, o)
	bridge := packetSocket(t)
	send := func(n int) {
		for range n {
			if _, err := unix.Write(bridge, experiment(testMTU+14, 1)); err != nil && !errors.Is(err, unix.ENOBUFS) {
				t.Fatal(err)
			}
		}
	}
	lost := func() uint64 {
		l, err := netlink.LinkByName("tap0")
		if err != nil {
			t.Fatal(err)
		}
		return l.Attrs().Statistics.TxDropped
	}
	send(1500)
	if lost() != 0 {
		t.Fatalf("%d of a burst of 1,500 frames are lost", lost())
	}
	send(1500)
	if lost() == 0 {
		t.Fatal("the kernel counts nothing of what a full queue dropped")
	}
	var v frame.Vector
	defer v.Release()
	left := 3000 - int(lost())
	for ; left > 0; left -= len(v.Frames) {
		v.Release()
		if err := d.ReadFrames(&v); err != nil {
			t.Fatal(err)
		}
	}
	if left < 0 {
		t.Errorf("%d more were kept than are not counted", -left)
	}
	if _, err := unix.Write(bridge, experiment(60, 2)); err != nil {
		t.Fatal(err)
	}
	v.Release()
	if err := d.ReadFrames(&v); err != nil || len(v.Frames) != 1 || len(v.Frames[0].Data) != 60 {
		t.Errorf("%d frames came, %v: more were kept than are not counted", len(v.Frames), err)
	}
}
