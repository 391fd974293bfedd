//go:build component

package ovs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"evio/datapath/netdev"
)

// TestSocketsHaveRoom: a port takes a burst of full frames while the switch does something
// else, and the frames that do not fit are counted. It is the same after a restart of the switch.
func TestSocketsHaveRoom(t *testing.T) {
	s := start(t)
	a, b := newBox(t, "a", 1), newBox(t, "b", 2)
	br := network("br0", a.port(), b.port())
	apply(t, s, br)
	mustPing(t, a, b)
	frames := 3 * room(testMTU) / testMTU // more than there is room for
	for _, count := range []int{burst, frames} {
		t.Run(fmt.Sprintf("%d frames", count), func(t *testing.T) { burstOf(t, s, a, b, count) })
	}

	pid := s.pid()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	awaitRestart(t, s)
	eventually(t, "apply after the restart", func() bool { return s.Apply(t.Context(), br) == nil })
	mustPing(t, a, b)
	burstOf(t, s, a, b, burst)
	l, err := s.Losses(t.Context(), br.Name)
	if err != nil || l.QueueFull == 0 {
		t.Errorf("what was lost before the restart is forgotten: %+v, %v", l, err)
	}
	if err := s.Delete(t.Context(), br.Name); err != nil {
		t.Fatal(err)
	}
	if l, err := s.Losses(t.Context(), br.Name); err != nil || l != (Losses{}) {
		t.Errorf("a bridge that is gone: %+v, %v", l, err)
	}
}

// burstOf sends full datagrams while the switch stands still, and compares what came and
// what is counted.
func burstOf(t *testing.T, s *Switch, from, to box, count int) {
	t.Helper()
	before, err := s.Losses(t.Context(), "br0")
	if err != nil {
		t.Fatal(err)
	}
	var ear int
	to.enter(t, func() (err error) {
		if ear, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		tv := unix.Timeval{Sec: 1}
		return errors.Join(
			unix.SetsockoptInt(ear, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20),
			unix.SetsockoptTimeval(ear, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv),
			unix.Bind(ear, &unix.SockaddrInet4{Port: 9}))
	})
	defer unix.Close(ear) //nolint:errcheck // only read from
	pid := s.pid()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	from.enter(t, func() error {
		mouth, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(mouth) //nolint:errcheck // all is sent
		if err := unix.SetsockoptInt(mouth, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 64<<20); err != nil {
			return err
		}
		for range count {
			if err := unix.Sendto(mouth, make([]byte, testMTU-28), 0, &unix.SockaddrInet4{Port: 9, Addr: to.addrs[0].As4()}); err != nil {
				return err
			}
		}
		return nil
	})
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	came := 0
	for buffer := make([]byte, testMTU); ; came++ {
		if _, err := unix.Read(ear, buffer); err != nil {
			break
		}
	}
	after, err := s.Losses(t.Context(), "br0")
	if err != nil {
		t.Fatal(err)
	}
	lost := int(after.QueueFull - before.QueueFull)
	t.Logf("%d of %d came, %d are counted", came, count, lost)
	if count <= burst && came != count {
		t.Errorf("%d of a burst of %d came", came, count)
	}
	if count > burst && (lost == 0 || came+lost < count) {
		t.Errorf("%d of %d came, and %d are counted as lost", came, count, lost)
	}
}

// TestNobodyElseLoses: a container that sends what the switch cannot send on loses that, and
// no other container anything.
func TestNobodyElseLoses(t *testing.T) {
	s := start(t)
	a, b, c := newBox(t, "a", 1), newBox(t, "b", 2), newBox(t, "c", 3)
	br := network("br0", a.port(), b.port(), c.port())
	apply(t, s, br)
	mustPing(t, a, b)
	mustPing(t, c, b)
	a.ip(t, "link", "set", "eth0", "mtu", "1404")
	ear := openPacket(t, &b)
	bad, good := openPacket(t, &a), openPacket(t, &c)

	const rounds = 200
	long, short := make([]byte, 14+1404), make([]byte, 14+100)
	for _, f := range []struct {
		frame []byte
		from  box
		mark  string
	}{{long, a, "long"}, {short, c, "short"}} {
		copy(f.frame, b.mac[:])
		copy(f.frame[6:], f.from.mac[:])
		binary.BigEndian.PutUint16(f.frame[12:], 0x88b5)
		copy(f.frame[14:], "mark<"+f.mark+">")
	}
	if err := syscall.Kill(s.pid(), syscall.SIGSTOP); err != nil { // so that they come in one batch
		t.Fatal(err)
	}
	for range rounds {
		bad.send(t, long)
		good.send(t, short)
	}
	last := bytes.Replace(short, []byte("mark<short>"), []byte("mark<last>"), 1)
	good.send(t, last)
	if err := syscall.Kill(s.pid(), syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, mark := range ear.until(t, "last") {
		got[mark]++
	}
	if got["short"] != rounds || got["long"] != 0 {
		t.Errorf("came: %v", got)
	}
	l, err := s.Losses(t.Context(), br.Name)
	if err != nil || l.TooLong != rounds || l.Offload != 0 {
		t.Errorf("%+v, %v", l, err)
	}
}

// TestSocketOpenedAnew: a port that is the same in the database, and that the switch has
// opened anew, is found and set up again.
func TestSocketOpenedAnew(t *testing.T) {
	s := start(t)
	a, b := newBox(t, "a", 1), newBox(t, "b", 2)
	br := network("br0", a.port(), b.port())
	apply(t, s, br)
	mustPing(t, a, b)
	if f, err := s.Inspect(t.Context()); err != nil || len(f.Drifted) != 0 {
		t.Fatalf("%+v, %v", f, err)
	}
	// Somebody takes the port off and puts the same one on again.
	o, err := s.programs.read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	have := o.interfaces[a.host]
	if err := s.programs.vsctl(t.Context(), "del-port", br.Name, a.host); err != nil {
		t.Fatal(err)
	}
	if err := s.programs.vsctl(t.Context(), "add-port", br.Name, a.host, "--", "set", "Interface", a.host,
		"ofport_request="+strconv.Itoa(have.ofport), "external_ids:"+keyPort+"="+have.role, "external_ids:"+keyIndex+"="+quote(have.index)); err != nil {
		t.Fatal(err)
	}
	index, err := netdev.Index(a.host)
	if err != nil {
		t.Fatal(err)
	}
	small := func() bool {
		all, err := netdev.PacketSockets()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range all {
			if p.Index == index {
				return p.Room < room(testMTU)
			}
		}
		return true
	}
	eventually(t, "the switch opens the device anew", small)
	kinds := map[Kind]bool{}
	eventually(t, "the port has room again", func() bool {
		f, err := s.Inspect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Drifted[br.Name] {
			kinds[d.Kind] = true
		}
		apply(t, s, br)
		return !small()
	})
	if !kinds[DriftSocket] {
		t.Errorf("found: %v", kinds)
	}
	mustPing(t, a, b)
}
