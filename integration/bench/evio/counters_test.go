//go:build e2e

package evio

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"evio/integration/bench/lab"
	"evio/plugin/config"
)

const (
	pings   = 500 // echo requests
	payload = 1000
	forged  = 5
	// shortRekey is the shortest age of keys, in seconds; the pings take longer.
	shortRekey = 10
	pause      = "0.024"
	patience   = 10
	// streamBytes is the length of a stream.
	streamBytes = 20_000_000
)

// TestCounters sends the same by evio-tap and by evio-container. Both count it alike: what one end
// sends the other receives, in super-frames where there are some, nothing is dropped, and keys are
// replaced meanwhile. A frame in the
// name of the peer is refused and counted, by evio-container in front of the switch, by evio-tap,
// where no switch is in its way, at the peer.
func TestCounters(t *testing.T) {
	if !below(t) {
		return
	}
	often := func(f *config.File) { f.RekeySeconds = shortRekey }
	for _, c := range []struct {
		name    string
		s       system
		refuses int // the end
		cause   string
	}{
		{"evio-container", &Container{change: often}, 0, "bridge-source-not-owned"},
		{"evio-tap", &TAP{change: often}, 1, "source-not-owned"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			users := up(t, c.name, c.s)
			before := settled(t, c.s)
			if _, err := users.A.Net.Run(t.Context(), "ping", "-n", "-q", "-c", fmt.Sprint(pings), "-i", pause, "-s", fmt.Sprint(payload), users.B.Addr.String()); err != nil {
				t.Fatal(err)
			}
			after := settled(t, c.s)
			a, b := after[0].since(before[0]), after[1].since(before[1])
			checkEnds(t, a, b)
			checkEnds(t, b, a)

			before = after
			stream(t, users)
			after = settled(t, c.s)
			checkStream(t, after[0].since(before[0]), after[1].since(before[1]))

			forge(t, users, c.s.engines()[1].mac.String())
			want := [2]map[string]uint64{{}, {}}
			want[c.refuses][c.cause] = forged
			var drops [2]map[string]uint64
			for range patience { // the switch reports with a delay
				for i, now := range countersOf(t, c.s) {
					drops[i] = now.since(after[i]).drops
				}
				if maps.Equal(drops[0], want[0]) && maps.Equal(drops[1], want[1]) {
					return
				}
				<-time.After(time.Second)
			}
			t.Errorf("the ends dropped %v after %d forged frames, want %v", drops, forged, want)
		})
	}
}

// checkEnds compares what one end has sent with what the other has received.
func checkEnds(t *testing.T, own, far counters) {
	t.Helper()
	const most = 100 // control messages
	frame := uint64(14 + 20 + 8 + payload)
	if own.txFrames < pings || own.txFrames > pings+most || own.txBytes < pings*frame {
		t.Errorf("%d frames of %d bytes were sent, want %d of %d bytes each and at most %d more", own.txFrames, own.txBytes, pings, frame, most)
	}
	if own.txFrames != far.rxFrames || own.txBytes != far.rxBytes {
		t.Errorf("%d frames of %d bytes were sent, %d of %d bytes received", own.txFrames, own.txBytes, far.rxFrames, far.rxBytes)
	}
	if own.records < own.rxFrames {
		t.Errorf("%d frames came in %d records", own.rxFrames, own.records)
	}
	if own.rekeys == 0 {
		t.Error("keys were not replaced")
	}
	if len(own.drops) > 0 {
		t.Errorf("drops %v", own.drops)
	}
}

// stream sends 20 MB from A to B by one connection, whose window fits all queues.
func stream(t *testing.T, users lab.Ends) {
	t.Helper()
	server, err := users.B.Net.Start(t.Context(), "iperf3", "iperf3", "-s", "-1")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop()
	err = server.Await(t.Context(), func() error {
		_, err := users.A.Net.Run(t.Context(), "iperf3", "-c", users.B.Addr.String(), "-n", fmt.Sprint(streamBytes), "-w", "256K", "-C", "cubic")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// checkStream: each segment that the sender's TAP gave is one that the receiver's took, and both
// did so in large pieces.
func checkStream(t *testing.T, a, b counters) {
	t.Helper()
	const perFrame = 4 // at least, on average
	if a.segmentsRead < streamBytes/mtu || a.segmentsRead != b.segmentsWritten || b.segmentsRead != a.segmentsWritten {
		t.Errorf("%d and %d segments were read from the TAPs, %d and %d written", a.segmentsRead, b.segmentsRead, b.segmentsWritten, a.segmentsWritten)
	}
	if a.segmentsRead < perFrame*a.framesRead || b.segmentsWritten < perFrame*b.framesWritten {
		t.Errorf("%d frames of %d segments were read, %d of %d written", a.framesRead, a.segmentsRead, b.framesWritten, b.segmentsWritten)
	}
	if len(a.drops)+len(b.drops) > 0 {
		t.Errorf("drops %v and %v", a.drops, b.drops)
	}
}

// counters are of one end since its start.
type counters struct {
	txFrames, txBytes, rxFrames, rxBytes uint64
	records                              uint64 // received
	rekeys                               uint64
	drops                                map[string]uint64 // of all kinds

	// Of the link's TAP.
	framesRead, segmentsRead, framesWritten, segmentsWritten uint64
}

// settled returns the counters of both ends once nothing has passed for a while: the ends are asked
// one after the other, and a connection that ends has a last word.
func settled(t *testing.T, s system) [2]counters {
	t.Helper()
	last := countersOf(t, s)
	for range patience {
		<-time.After(time.Second / 2)
		now := countersOf(t, s)
		if now[0].passed() == last[0].passed() && now[1].passed() == last[1].passed() {
			return now
		}
		last = now
	}
	t.Error("frames pass although nobody sends")
	return last
}

func countersOf(t *testing.T, s system) (both [2]counters) {
	t.Helper()
	for i := range both {
		d, err := s.engines()[i].status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c := counters{records: d.Transport.Datagrams["record"], drops: maps.Clone(d.Transport.Drops)}
		for _, n := range d.Networks {
			maps.Copy(c.drops, n.Drops)
			for _, tap := range n.TAPs {
				if tap.Node != "" {
					c.framesRead, c.segmentsRead = tap.ReadFrames, tap.ReadSegments
					c.framesWritten, c.segmentsWritten = tap.WrittenFrames, tap.WrittenSegments
				}
			}
			for _, s := range n.Sessions {
				c.txFrames, c.txBytes, c.rxFrames, c.rxBytes = s.TxFrames, s.TxBytes, s.RxFrames, s.RxBytes
				c.rekeys = s.Rekeys
				maps.Copy(c.drops, s.Drops)
			}
		}
		// The first probe under new keys may come before these are known (docs/PROTOCOL.md, Rekeying).
		delete(c.drops, "record_slot")
		both[i] = c
	}
	return both
}

// passed is how many frames were sent and received.
func (c counters) passed() uint64 { return c.txFrames + c.rxFrames }

// since returns by how much counters rose.
func (c counters) since(before counters) counters {
	rose := counters{
		c.txFrames - before.txFrames, c.txBytes - before.txBytes, c.rxFrames - before.rxFrames, c.rxBytes - before.rxBytes,
		c.records - before.records, c.rekeys - before.rekeys, map[string]uint64{},
		c.framesRead - before.framesRead, c.segmentsRead - before.segmentsRead,
		c.framesWritten - before.framesWritten, c.segmentsWritten - before.segmentsWritten,
	}
	for cause, count := range c.drops {
		if count > before.drops[cause] {
			rose.drops[cause] = count - before.drops[cause]
		}
	}
	return rose
}

// forge sends echo requests of the user at A to B with B's MAC address as their source.
func forge(t *testing.T, users lab.Ends, mac string) {
	t.Helper()
	script := `device=$(ip -o -4 route get "$1" | sed 's/.* dev \([^ ]*\).*/\1/')
ip link set "$device" address "$2"
ip neighbour replace "$1" lladdr "$2" dev "$device" nud permanent
! ping -n -q -c "$3" -i 0.05 -W 0.2 "$1"`
	if _, err := users.A.Net.Run(t.Context(), "sh", "-euc", script, "forge", users.B.Addr.String(), mac, fmt.Sprint(forged)); err != nil {
		t.Fatal(err)
	}
}
