//go:build component

package tap

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"evio/datapath/frame"
)

var tcpOffloads = Offloads{Checksums: true, TCP: true, Why: "UDP is not asked for"}

// station is a network namespace whose only device is a TAP of this process.
type station struct {
	t    *testing.T
	dev  Device
	addr netip.Addr
}

// newStation makes station n with the address 10.1.0.n and a TAP that offloads.
func newStation(t *testing.T, n byte, o Offloads) *station {
	t.Helper()
	name := fmt.Sprintf("tap%d", n)
	dev, err := Open(Config{Name: name, MTU: testMTU, Offloads: o})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dev.Close() })
	s := &station{t: t, dev: dev, addr: netip.AddrFrom4([4]byte{10, 1, 0, n})}
	ip(t, "netns", "add", name)
	t.Cleanup(func() { ip(t, "netns", "del", name) })
	ip(t, "link", "set", name, "netns", name)
	for _, command := range []string{"link set lo up", "link set " + name + " up arp on", "address add " + s.addr.String() + "/24 dev " + name} {
		ip(t, append([]string{"-n", name}, strings.Fields(command)...)...)
	}
	return s
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// enter runs fn on a thread in the namespace; sockets made there stay there.
func (s *station) enter(fn func() error) {
	s.t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		ns, err := netns.GetFromName(s.dev.Name())
		if err == nil {
			defer ns.Close() //nolint:errcheck // nothing to lose
			err = netns.Set(ns)
		}
		if err == nil {
			err = fn()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		s.t.Fatal(err)
	}
}

// join carries the frames of two stations to each other until the test ends.
func join(t *testing.T, a, b *station) {
	t.Helper()
	var wg sync.WaitGroup
	for _, way := range [][2]Device{{a.dev, b.dev}, {b.dev, a.dev}} {
		wg.Go(func() {
			var v frame.Vector
			for way[0].ReadFrames(&v) == nil {
				if _, err := way[1].WriteFrames(v.Frames); err != nil {
					break
				}
				v.Release()
			}
			v.Release()
		})
	}
	t.Cleanup(func() {
		_, _ = a.dev.Close(), b.dev.Close()
		wg.Wait()
	})
}

// transfer sends bytes by TCP from one station to the other and compares them.
func transfer(t *testing.T, from, to *station, size int) {
	t.Helper()
	var l net.Listener
	to.enter(func() (err error) {
		l, err = net.Listen("tcp4", netip.AddrPortFrom(to.addr, 5001).String())
		return err
	})
	defer l.Close() //nolint:errcheck // nothing to lose
	sent := make([]byte, size)
	_, _ = rand.Read(sent)
	received := make(chan []byte, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			received <- nil
			return
		}
		defer c.Close() //nolint:errcheck // all is read
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		all, _ := io.ReadAll(c)
		received <- all
	}()
	from.enter(func() error {
		c, err := net.DialTimeout("tcp4", l.Addr().String(), 10*time.Second)
		if err != nil {
			return err
		}
		defer c.Close() //nolint:errcheck // what was written is looked at
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		_, err = c.Write(sent)
		return err
	})
	if got := <-received; !bytes.Equal(got, sent) {
		t.Fatalf("%d of %d bytes arrived, or others", len(got), size)
	}
}

// TestSuperFramesBothWays: a stream of TCP passes between kernels in super-frames, whatever
// of the two devices offloads, and without them if none does.
func TestSuperFramesBothWays(t *testing.T) {
	const size = 8 << 20
	for name, o := range map[string][2]Offloads{
		"both": {tcpOffloads, tcpOffloads}, "sender": {tcpOffloads, {}}, "receiver": {{}, tcpOffloads}, "none": {{}, {}},
		"checksums": {{Checksums: true}, {Checksums: true}}, "all": {AllOffloads, AllOffloads},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newStation(t, 1, o[0]), newStation(t, 2, o[1])
			for i, s := range []*station{a, b} {
				if got := s.dev.Offloads(); got != o[i] {
					t.Fatalf("device %d offloads %+v", i, got)
				}
			}
			join(t, a, b)
			transfer(t, a, b, size)
			transfer(t, b, a, size)
			for i, d := range []Device{a.dev, b.dev} {
				s := d.Stats()
				if s.BadLength+s.BadOffload > 0 {
					t.Errorf("device %d: %+v", i, s)
				}
				if !o[i].TCP {
					if s.ReadSupers+s.WrittenSupers > 0 || s.ReadFrames != s.ReadSegments || s.WrittenFrames < size/testMTU {
						t.Errorf("device %d without super-frames: %+v", i, s)
					}
					continue
				}
				if s.ReadSupers == 0 || s.ReadSegments-s.ReadFrames < size/testMTU/2 {
					t.Errorf("device %d: %+v", i, s)
				}
				if perMB := s.Writes / (size >> 20); o[1-i].TCP && perMB > 500 {
					t.Errorf("device %d: %d writes for each MB", i, perMB)
				}
			}
		})
	}
}

// TestDatagramsInOnePiece: datagrams that a program hands to the kernel together arrive in one
// frame where that was asked for, and as ten where it was not. They arrive at the other
// station in either case.
func TestDatagramsInOnePiece(t *testing.T) {
	const size, count = 1300, 10
	for name, c := range map[string]struct {
		from, to       Offloads
		supers, frames uint64
	}{
		"asked": {AllOffloads, AllOffloads, 1, 1}, "not asked": {tcpOffloads, tcpOffloads, 0, count},
		"by one": {AllOffloads, tcpOffloads, 1, 1}, "off": {Offloads{}, Offloads{}, 0, count},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newStation(t, 1, c.from), newStation(t, 2, c.to)
			join(t, a, b)
			var in, out *net.UDPConn
			b.enter(func() (err error) {
				in, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(b.addr, 5001)))
				return err
			})
			defer in.Close() //nolint:errcheck // nothing to lose
			_ = in.SetDeadline(time.Now().Add(10 * time.Second))
			a.enter(func() (err error) {
				out, err = net.DialUDP("udp4", nil, in.LocalAddr().(*net.UDPAddr))
				return err
			})
			defer out.Close() //nolint:errcheck // nothing to lose
			buf := make([]byte, 2000)
			if _, err := out.Write([]byte("hello")); err != nil { // resolves the address
				t.Fatal(err)
			}
			if n, err := in.Read(buf); n != 5 || err != nil {
				t.Fatal(n, err)
			}
			before := a.dev.Stats()
			raw, err := out.SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			if err := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, size) }); err != nil {
				t.Fatal(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			sent := make([]byte, size*count)
			_, _ = rand.Read(sent)
			if _, err := out.Write(sent); err != nil {
				t.Fatal(err)
			}
			for i := range count {
				n, err := in.Read(buf)
				if err != nil || !bytes.Equal(buf[:n], sent[i*size:][:size]) {
					t.Fatalf("datagram %d: %d bytes, %v", i, n, err)
				}
			}
			s := a.dev.Stats()
			if supers, frames, segments := s.ReadSupers-before.ReadSupers, s.ReadFrames-before.ReadFrames, s.ReadSegments-before.ReadSegments; supers != c.supers || frames != c.frames || segments != count {
				t.Errorf("%d super-frames, %d frames, %d segments", supers, frames, segments)
			}
			for _, d := range []Device{a.dev, b.dev} {
				if s := d.Stats(); s.BadLength+s.BadOffload+s.Refused > 0 {
					t.Errorf("%+v", s)
				}
			}
		})
	}
}

// TestRefusedOffloads: the kernel takes no set with a bit that it does not know, and then less
// is asked of it.
func TestRefusedOffloads(t *testing.T) {
	d, err := Open(Config{Name: "tap0", MTU: testMTU, Offloads: AllOffloads})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close() //nolint:errcheck // nothing to lose
	const unknown = 1 << 20
	got, err := settle(AllOffloads, func(o Offloads) error {
		var refused error
		set := int(o.set())
		if o.TCP {
			set |= unknown
		}
		if err := d.(*device).raw.Control(func(fd uintptr) { refused = unix.IoctlSetInt(int(fd), unix.TUNSETOFFLOAD, set) }); err != nil {
			t.Fatal(err)
		}
		return refused
	})
	if err != nil || got.TCP || got.UDP || !got.Checksums || !strings.Contains(got.Why, "the kernel refuses segmentation of TCP") {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestLongFrames: a frame of the largest MTU passes either way, and a burst takes few calls.
func TestLongFrames(t *testing.T) {
	const largest = 65521
	for name, o := range map[string]Offloads{"all": AllOffloads, "none": {}} {
		t.Run(name, func(t *testing.T) {
			d, err := Open(Config{Name: "tap0", MTU: largest, Offloads: o})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close() //nolint:errcheck // nothing to lose
			bridge := packetSocket(t)
			long := experiment(largest+14, 7)
			if n, err := d.WriteFrames([]frame.Frame{{Data: long}}); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			buf := make([]byte, 70000)
			if n, err := unix.Read(bridge, buf); err != nil || !bytes.Equal(buf[:n], long) {
				t.Fatalf("%d bytes, %v", n, err)
			}
			if _, err := unix.Write(bridge, long); err != nil {
				t.Fatal(err)
			}
			var v frame.Vector
			defer v.Release()
			if err := d.ReadFrames(&v); err != nil || len(v.Frames) != 1 || !bytes.Equal(v.Frames[0].Data, long) {
				t.Fatalf("%d frames, %v", len(v.Frames), err)
			}
			const burst = 70
			for range burst {
				if _, err := unix.Write(bridge, experiment(1414, 1)); err != nil {
					t.Fatal(err)
				}
			}
			before := d.Stats().Reads
			calls := 0
			for got := 0; got < burst; got += len(v.Frames) {
				v.Release()
				if err := d.ReadFrames(&v); err != nil {
					t.Fatal(err)
				}
				calls++
			}
			if reads := d.Stats().Reads - before; calls > 2 || reads > burst+2 {
				t.Errorf("%d frames by %d calls of %d reads", burst, calls, reads)
			}
		})
	}
}
