//go:build component

package network

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"evio/datapath/frame"
	"evio/overlay"
)

const (
	spoofPort    = 7777 // to which segments go
	spoofPayload = 1000 // bytes of each; the first says which one it is
	spoofLast    = 200  // the segment that is sent when all others are
)

// segment describes one of a stream, as the kernel of its sender cuts it.
type segment struct {
	number           byte
	source           overlay.MAC
	destination      overlay.MAC
	from, to         netip.Addr
	timeToLive, kind byte
}

// frame makes the segment, with its checksum unfinished.
func (s segment) frame() frame.Frame {
	const ip, l4 = 14, 34
	b := make([]byte, l4+20+spoofPayload)
	copy(b, s.destination[:])
	copy(b[6:], s.source[:])
	b[12], b[13] = 8, 0
	b[ip], b[ip+6], b[ip+8], b[ip+9] = 0x45, 0x40, s.timeToLive, s.kind
	binary.BigEndian.PutUint16(b[ip+2:], uint16(len(b)-ip))
	binary.BigEndian.PutUint16(b[ip+4:], uint16(s.number))
	copy(b[ip+12:], s.from.AsSlice())
	copy(b[ip+16:], s.to.AsSlice())
	binary.BigEndian.PutUint16(b[ip+10:], ^onesSum(b[ip:l4]))
	tcp := b[l4:]
	binary.BigEndian.PutUint16(tcp, 40000)
	binary.BigEndian.PutUint16(tcp[2:], spoofPort)
	binary.BigEndian.PutUint32(tcp[4:], uint32(s.number)*spoofPayload)
	tcp[12], tcp[13] = 5<<4, 0x10
	pseudo := append(slices.Clone(b[ip+12:l4]), 0, s.kind)
	pseudo = binary.BigEndian.AppendUint16(pseudo, uint16(len(tcp)))
	binary.BigEndian.PutUint16(tcp[16:], onesSum(pseudo))
	tcp[20] = s.number
	return frame.Frame{Data: b, Partial: true, Start: l4, Offset: 16}
}

// onesSum is the sum of RFC 1071.
func onesSum(b []byte) uint16 {
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	sum = sum>>16 + sum&0xffff
	return uint16(sum>>16 + sum&0xffff)
}

// ear hears the segments that come to a container, in super-frames or not.
func (b *box) ear() *os.File {
	t := b.rig.t
	t.Helper()
	var fd int
	b.enter(func() (err error) {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(binary.NativeEndian.Uint16([]byte{8, 0})))
		return err
	})
	f := os.NewFile(uintptr(fd), "packets")
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// heardBy returns the numbers of the segments that come, up to spoofLast.
func heardBy(t *testing.T, ear *os.File) (numbers []byte) {
	t.Helper()
	if err := ear.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<17)
	for {
		n, err := ear.Read(buf)
		if err != nil {
			t.Fatalf("after segments %v: %v", numbers, err)
		}
		if n < 54 || buf[23] != unix.IPPROTO_TCP || binary.BigEndian.Uint16(buf[36:]) != spoofPort {
			continue
		}
		for at := 54; at < n; at += spoofPayload {
			if buf[at] == spoofLast {
				return numbers
			}
			numbers = append(numbers, buf[at])
		}
	}
}

// TestSpoofedSegments: a peer sends runs of segments, and one is not its own, or none is. Those
// are refused and counted, one by one, and the others arrive as if there had been no other.
func TestSpoofedSegments(t *testing.T) {
	const run = 5
	a, b := pair(t)
	one, third, two := a.box(1), a.box(3), b.box(2)
	for _, box := range []*box{one, third, two} {
		box.attach()
	}
	mustPing(t, two, one)
	knows(t, a, two)
	knows(t, b, one)
	n := a.network()
	from, to := b.network().links.get(n.currentNode().ID()), n.links.get(b.network().currentNode().ID())
	eventually(t, "flows let the peer's container in", func() bool { return n.accepted.lets(two.spec.MAC, to) })
	ear := one.ear()

	genuine := func(number byte) segment {
		return segment{number: number, source: two.spec.MAC, destination: one.spec.MAC, from: two.addr4(), to: one.addr4(), timeToLive: 64, kind: unix.IPPROTO_TCP}
	}
	for _, c := range []struct {
		name  string
		spoof func(*segment)
		cause string // empty: it is let in
	}{
		{"MAC of the receiver's container", func(s *segment) { s.source = third.spec.MAC }, "source-not-owned"},
		{"MAC of the receiver", func(s *segment) { s.source = one.spec.MAC }, "source-not-owned"},
		{"MAC of nobody", func(s *segment) { s.source = unknownMAC }, "source-not-owned"},
		{"address of another", func(s *segment) { s.from = third.addr4() }, "address-not-owned"},
		{"address of the receiver", func(s *segment) { s.from = one.addr4() }, "address-not-owned"},
		{"address outside of the subnets", func(s *segment) { s.from = netip.MustParseAddr("198.51.100.1") }, "address-not-owned"},
		{"sent to a group", func(s *segment) { s.destination = overlay.MAC{1, 0, 0x5e, 0, 0, 1} }, "malformed"},
		{"broadcast", func(s *segment) { s.destination = overlay.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff} }, "malformed"},
		{"another time to live", func(s *segment) { s.timeToLive = 63 }, ""},
	} {
		for where, spoofed := range map[string][]byte{"first": {0}, "in the middle": {2}, "last": {run - 1}, "all": {0, 1, 2, 3, 4}} {
			t.Run(c.name+", "+where, func(t *testing.T) {
				var frames []frame.Frame
				var want []byte
				for i := range byte(run) {
					s := genuine(i)
					if slices.Contains(spoofed, i) {
						c.spoof(&s)
					}
					if !slices.Contains(spoofed, i) || c.cause == "" {
						want = append(want, i)
					}
					frames = append(frames, s.frame())
				}
				before, merged := n.drops.byCause(), to.session.Load().Info().RxMerged
				counted := maps.Clone(before)
				if c.cause != "" {
					counted[c.cause] += uint64(len(spoofed))
				}
				for _, send := range [][]frame.Frame{frames, {genuine(spoofLast).frame()}} {
					if err := from.session.Load().SendFrames(send); err != nil {
						t.Fatal(err)
					}
				}
				if diff := cmp.Diff(want, heardBy(t, ear)); diff != "" {
					t.Error(diff)
				}
				eventually(t, "counted", func() bool { return cmp.Equal(counted, n.drops.byCause()) })
				if pieces := to.session.Load().Info().RxMerged - merged; pieces >= run+1 {
					t.Errorf("%d segments came in %d pieces: none were merged, and this shows nothing", run+1, pieces)
				}
			})
		}
	}
	mustPing(t, two, one)
}
