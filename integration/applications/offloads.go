//go:build e2e

package applications

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"evio/driver/status"
	"evio/integration/scenario"
)

// offloads are the plugin's settings EVIO_OFFLOAD_…, in small letters.
var offloads = []string{"tap", "udp_send", "udp_receive", "merge"}

// passes is how often the rows run between two sites, and with which offloads off: first with none,
// and then as EVIO_TEST_OFFLOADS says, a list of lists such as "tap,merge udp_send". Without it
// that is all of them.
func passes(t *testing.T) [][]string {
	t.Helper()
	all := [][]string{nil}
	for pass := range strings.FieldsSeq(cmp.Or(os.Getenv("EVIO_TEST_OFFLOADS"), strings.Join(offloads, ","))) {
		off := strings.Split(pass, ",")
		for _, name := range off {
			if !slices.Contains(offloads, name) {
				t.Fatalf("EVIO_TEST_OFFLOADS has %q, which is none of %q", name, offloads)
			}
		}
		all = append(all, off)
	}
	return all
}

// switchOff starts the plugins of all sites again with some offloads off and all others on.
func (s *applications) switchOff(t *testing.T, off []string) {
	t.Helper()
	settings := []string{"plugin", "set", scenario.PluginName}
	for _, name := range offloads {
		value := "auto"
		if slices.Contains(off, name) {
			value = "off"
		}
		settings = append(settings, "EVIO_OFFLOAD_"+strings.ToUpper(name)+"="+value)
	}
	group, ctx := errgroup.WithContext(scenario.Within(t, time.Minute))
	for _, site := range s.d.Sites {
		group.Go(func() error { return restart(ctx, site, settings) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := s.d.WaitSessions(scenario.Within(t, 30*time.Second), s.network.Name); err != nil {
		t.Fatal(err)
	}
	s.meet(t)
}

// restart gives a plugin its settings, which it reads when it starts.
func restart(ctx context.Context, site *scenario.Site, settings []string) error {
	for _, args := range [][]string{{"plugin", "disable", "-f", scenario.PluginName}, settings, {"plugin", "enable", scenario.PluginName}} {
		if _, err := site.Docker(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// offloadsAre compares what the status documents of both ends say with what is off.
func (s *applications) offloadsAre(t *testing.T, off []string) {
	t.Helper()
	for _, site := range s.d.Sites[:2] {
		for _, fault := range offloadFaults(scenario.Document(t, site), s.network.Overlay, off) {
			t.Errorf("site %s: %s", site.Name(), fault)
		}
	}
}

// offloadFaults says which offloads are on that are to be off, and the other way round. Super-frames
// of UDP pass a TAP only where the switch knows them.
func offloadFaults(d status.Document, overlay string, off []string) (faults []string) {
	check := func(name, what string, on bool, reason string) {
		switch wanted := !slices.Contains(off, name); {
		case on != wanted:
			faults = append(faults, fmt.Sprintf("%s is on: %v (%s), want %v", what, on, reason, wanted))
		case !on && !strings.Contains(reason, "configuration"):
			faults = append(faults, fmt.Sprintf("%s is off for another reason: %s", what, reason))
		}
	}
	o := d.Transport.Offload
	check("udp_send", "UDP send", o.UDPSend.On, o.UDPSend.Reason)
	check("udp_receive", "UDP receive", o.UDPReceive.On, o.UDPReceive.Reason)
	check("merge", "merge", o.Merge.On, o.Merge.Reason)
	links := linksOf(d, overlay)
	if len(links) == 0 {
		faults = append(faults, "there is no link")
	}
	for _, tap := range links {
		check("tap", "TCP of TAP "+tap.Device, tap.Offload.TCP, tap.Offload.Reason)
		check("tap", "checksums of TAP "+tap.Device, tap.Offload.Checksums, tap.Offload.Reason)
	}
	return faults
}

// linksOf returns the TAPs of an overlay's links.
func linksOf(d status.Document, overlay string) []status.TAP {
	return slices.DeleteFunc(scenario.OverlayIn(d, overlay).TAPs, func(t status.TAP) bool { return t.Node == "" })
}

// offloadsServed looks, behind the rows, at what went through the TAPs in one piece: from the sender's
// bridge if the TAPs do that, into the receiver's if segments are merged as well.
func (s *applications) offloadsServed(t *testing.T, off []string) {
	t.Helper()
	pieces := func(site *scenario.Site, of func(status.TAP) (frames, segments uint64)) (saved uint64) {
		for _, tap := range linksOf(scenario.Document(t, site), s.network.Overlay) {
			frames, segments := of(tap)
			saved += segments - frames
		}
		return saved
	}
	read := pieces(s.d.Sites[0], func(t status.TAP) (uint64, uint64) { return t.ReadFrames, t.ReadSegments })
	written := pieces(s.d.Sites[1], func(t status.TAP) (uint64, uint64) { return t.WrittenFrames, t.WrittenSegments })
	t.Logf("%d segments came out of the bridge in larger pieces, %d went into the other", read, written)
	tap := !slices.Contains(off, "tap")
	if (read > 0) != tap {
		t.Errorf("%d segments came out of the sender's bridge in larger pieces, TAPs do so: %v", read, tap)
	}
	if merge := tap && !slices.Contains(off, "merge"); (written > 0) != merge {
		t.Errorf("%d segments went into the receiver's bridge in larger pieces, they are merged: %v", written, merge)
	}
}
