//go:build e2e

package hostile

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"evio/integration/scenario"
	"evio/integration/testbed"
	"evio/plugin/config"
)

// TestForgedEnvelopes: the XMPP server of a site sends it 10,000 envelopes a second in the name of
// a member that has signed none of them. All are counted, sites that talk go on, and one that
// comes in the meantime gets its sessions.
func TestForgedEnvelopes(t *testing.T) {
	const forgery, seconds = 10_000, 15
	lab := testbed.StartSites(t, testbed.Options{}, testbed.SiteConfig{Name: "a"}, testbed.SiteConfig{Name: "b"}, testbed.SiteConfig{Name: "c"})
	internet := lab.Internet()
	ctx := scenario.Within(t, 2*time.Minute)
	if err := internet.WriteFile(ctx, "/root/ca.pem", internet.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	proxy := newHand(t, internet.Machine, "proxy", "xmpp-proxy", "-listen", "198.51.100.1:5223", "-domain", testbed.XMPPDomain,
		"-upstream", internet.XMPP.DirectTLSAddress(), "-ca", "/root/ca.pem", "-certificate", "/root/proxy.pem")
	trusted, err := os.ReadFile(internet.Path("/root/proxy.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if err := lab.Site("a").WriteFile(ctx, "/etc/evio/proxy.pem", trusted, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := scenario.Standalone(ctx, lab, scenario.At("a", func(_ *scenario.Site, f *config.File) {
		service := &f.Signalling[0]
		service.Server, service.TLS, service.CAFile = "198.51.100.1:5223", config.DirectTLS, "/etc/evio/proxy.pem"
	}))
	if err != nil {
		t.Fatal(err)
	}
	a, b, c := d.Sites[0], d.Sites[1], d.Sites[2]
	for _, s := range []*scenario.Site{a, b} {
		if err := s.Join(scenario.Within(t, 20*time.Second), open); err != nil {
			t.Fatal(err)
		}
	}
	before := scenario.AwaitSession(t, 30*time.Second, a, open.Name, b.Account.JID)
	p, err := b.Start(scenario.Within(t, 10*time.Second), "talk", "nsenter", "--net=/run/netns/"+open.Name, "ping", "-n", "-D", "-i", "0.1", open.Addresses(a)[0].String())
	if err != nil {
		t.Fatal(err)
	}
	talk, began := scenario.Job{Process: p, Name: "ping"}, time.Now()

	forged := make(chan error, 1)
	var sent struct{ Sent uint64 }
	used := cpuOf(t, a)
	go func() {
		forged <- proxy.try(t.Context(), "POST /forge", map[string]int{"Rate": forgery, "Seconds": seconds}, &sent)
	}()
	scenario.Pause(t, time.Second)
	if err := c.Join(scenario.Within(t, 20*time.Second), open); err != nil {
		t.Fatal(err)
	}
	came := time.Now()
	for _, s := range []*scenario.Site{a, b} {
		scenario.AwaitSession(t, 30*time.Second, c, open.Name, s.Account.JID)
	}
	t.Logf("c has its sessions %v after it came", time.Since(came).Round(time.Millisecond))
	select {
	case err := <-forged:
		t.Fatalf("the forging was over before: %v", err)
	default:
	}
	if err := <-forged; err != nil {
		t.Fatal(err)
	}
	used = cpuOf(t, a) - used
	t.Logf("%d envelopes were forged in %v, in which evio at a used %v of a CPU", sent.Sent, time.Since(began).Round(time.Millisecond), used)
	causes := []string{"envelope-limit", "envelope-signature"}
	scenario.Until(t, 20*time.Second, func() error {
		var counted uint64
		drops := scenario.OverlayAt(t, a, open.Name).Drops
		for _, cause := range causes {
			counted += drops[cause]
		}
		if counted < sent.Sent {
			return fmt.Errorf("%d of %d are counted: %v", counted, sent.Sent, drops)
		}
		return nil
	})
	drops := scenario.OverlayAt(t, a, open.Name).Drops
	if checked := drops["envelope-signature"]; checked == 0 || checked > 50+10*3*seconds {
		t.Errorf("%d signatures were checked", checked)
	}
	scenario.Unchanged(t, a, open.Name, b.Account.JID, before)
	silence, err := scenario.LongestSilence(talk, began)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("b heard nothing of a for at most %d ms", silence)
	if silence > 3000 {
		t.Error("that is more than 3 s")
	}
	if err := p.Stop(context.WithoutCancel(t.Context()), "TERM"); err != nil {
		t.Error(err)
	}
}

// cpuOf is what the evio of a site has used of the machine's CPUs (proc_pid_stat(5)).
func cpuOf(t *testing.T, s *scenario.Site) time.Duration {
	t.Helper()
	stat, err := s.Run(scenario.Within(t, 10*time.Second), "cat", fmt.Sprintf("/proc/%d/stat", s.Evio().PID()))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	var ticks int64
	for _, f := range fields[11:13] { // utime, stime
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
