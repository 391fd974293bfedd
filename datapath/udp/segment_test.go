package udp

import (
	"math"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

func TestMessages(t *testing.T) {
	runs := []Run{
		{},
		{Bytes: make([]byte, 1200*70+1), Size: 1200}, // more than the kernel's bytes
		{Bytes: make([]byte, 10*65), Size: 10},       // more than its datagrams
		{Bytes: make([]byte, 5)},
		{Bytes: make([]byte, 5), Size: 10},
		{Bytes: make([]byte, 3*40000), Size: 40000}, // one is less than half of what it takes
	}
	for _, test := range []struct {
		uncut int
		want  []int
	}{
		{math.MaxInt, []int{54 * 1200, 16*1200 + 1, 640, 10, 5, 5, 40000, 40000, 40000}},
		{1200, slices.Concat(slices.Repeat([]int{1200}, 70), []int{1, 640, 10, 5, 5, 40000, 40000, 40000})},
		{1, slices.Concat(slices.Repeat([]int{1200}, 70), []int{1}, slices.Repeat([]int{10}, 65), []int{5, 5, 40000, 40000, 40000})},
	} {
		var (
			got []int
			p   position
		)
		for message, _, ok := p.next(runs, test.uncut); ok; message, _, ok = p.next(runs, test.uncut) {
			got = append(got, len(message))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("cut below %d: messages of %v bytes, want %v", test.uncut, got, test.want)
		}
	}
}

// TestRefusals: they are about one route and sizes, and for a while.
func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r refusals
		by := route{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1")}
		other := route{netip.MustParseAddr("192.0.2.7"), by.to}
		check := func(by route, want int) {
			t.Helper()
			if got := r.smallest(by); got != want {
				t.Errorf("sizes from %d on are refused, want %d", got, want)
			}
		}
		check(by, math.MaxInt)
		r.note(by, refusalOf(unix.EMSGSIZE, 1400))
		check(by, 1400)
		check(other, math.MaxInt)
		<-time.After(refusedFor / 2)
		r.note(by, refusalOf(unix.EINVAL, 1452))
		check(by, 1400)
		r.note(other, refusalOf(unix.EIO, 1452))
		check(other, 1)
		if r.len() != 2 {
			t.Errorf("%d routes, want 2", r.len())
		}
		<-time.After(refusedFor + time.Second)
		check(by, math.MaxInt)
		r.note(by, refusalOf(unix.EMSGSIZE, 1452))
		check(by, 1452)
		if r.len() != 1 {
			t.Errorf("%d routes, want 1", r.len())
		}
		for i := range 2 * maxRefusals {
			r.note(route{by.from, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})}, refusal{size: 1})
		}
		if n := r.len(); n > maxRefusals {
			t.Errorf("%d routes are remembered, at most %d", n, maxRefusals)
		}
		for _, errno := range []unix.Errno{unix.ENOBUFS, unix.EPERM, unix.ECONNREFUSED} {
			if got := refusalOf(errno, 10); got != (refusal{}) {
				t.Errorf("%v refuses %v", errno, got)
			}
		}
	})
}

// TestOffloadsSayWhyNot: by configuration, by the kernel, or because there is no socket.
func TestOffloadsSayWhyNot(t *testing.T) {
	s, err := New(0, Offload{Receive: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Offloads(); got.Send.On || got.Receive.On || got.Receive.Reason != notOpen {
		t.Errorf("before it is open: %+v", got)
	}
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // ends the test
	want := Offloads{Send: OffloadState{Reason: switchedOff}, Receive: OffloadState{On: true}}
	if got := s.Offloads(); got != want {
		t.Errorf("open: %+v, want %+v", got, want)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd) //nolint:errcheck // ends the test
	if got := probe(fd, everything); got.Send.On || got.Receive.On || got.Send.Reason == "" {
		t.Errorf("a socket that knows neither: %+v", got)
	}
}
