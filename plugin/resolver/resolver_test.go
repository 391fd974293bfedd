package resolver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// zone is a DNS server on this machine that knows a few records.
type zone struct {
	records  map[string][]string // by name and type
	rcode    int                 // answered to everything, if it is not 0
	silent   bool
	truncate bool // UDP answers have no room
	other    bool // answers another question
	asked    atomic.Int32
}

func (z *zone) ServeDNS(w dns.ResponseWriter, m *dns.Msg) {
	z.asked.Add(1)
	if z.silent {
		return
	}
	reply := new(dns.Msg).SetReply(m)
	q := m.Question[0]
	reply.Rcode = dns.RcodeNameError
	for key, records := range z.records {
		name, kind, _ := strings.Cut(key, " ")
		if !sameName(name, q.Name) {
			continue
		}
		reply.Rcode = dns.RcodeSuccess
		if kind != dns.TypeToString[q.Qtype] {
			continue
		}
		for _, text := range records {
			record, err := dns.NewRR(text)
			if err != nil {
				panic(err)
			}
			reply.Answer = append(reply.Answer, record)
		}
	}
	if z.rcode != 0 {
		reply.Rcode = z.rcode
	}
	if z.other {
		reply.Question[0].Name = "other.example."
	}
	if _, udp := w.RemoteAddr().(*net.UDPAddr); udp && z.truncate {
		reply.Answer, reply.Truncated = nil, true
	}
	_ = w.WriteMsg(reply) // the test misses it
}

// listener is where one server answers.
type listener struct {
	packets net.PacketConn
	streams net.Listener
	port    string
}

func address(i int) string { return fmt.Sprintf("127.0.0.%d", i+1) }

// listen opens n addresses at one port, whichever is free at all of them.
func listen(t *testing.T, n int) []listener {
	t.Helper()
	var err error
	for range 20 {
		var open []listener
		port := "0"
		for i := range n {
			var l listener
			if l.packets, err = net.ListenPacket("udp", net.JoinHostPort(address(i), port)); err != nil {
				break
			}
			if l.streams, err = net.Listen("tcp", l.packets.LocalAddr().String()); err != nil {
				_ = l.packets.Close() // nothing was sent
				break
			}
			_, port, _ = net.SplitHostPort(l.packets.LocalAddr().String())
			l.port = port
			open = append(open, l)
		}
		if err == nil {
			return open
		}
		for _, l := range open {
			_, _ = l.packets.Close(), l.streams.Close() // nothing was sent
		}
	}
	t.Fatal(err)
	return nil
}

// serve starts the servers at 127.0.0.1, 127.0.0.2, …, all at one port, and returns a
// resolver for a host whose resolv.conf names them.
func serve(t *testing.T, more string, zones ...*zone) *Resolver {
	t.Helper()
	var names strings.Builder
	listeners := listen(t, len(zones))
	for i, z := range zones {
		packets, streams := listeners[i].packets, listeners[i].streams
		for _, s := range []*dns.Server{{PacketConn: packets, Handler: z}, {Listener: streams, Handler: z}} {
			started := make(chan struct{})
			s.NotifyStartedFunc = func() { close(started) }
			done := make(chan error, 1)
			go func() { done <- s.ActivateAndServe() }()
			<-started
			t.Cleanup(func() {
				if err := errors.Join(s.Shutdown(), <-done); err != nil {
					t.Error(err)
				}
			})
		}
		fmt.Fprintf(&names, "nameserver %s\n", address(i))
	}
	r := host(t, map[string]string{resolvConf: names.String() + "options timeout:1 attempts:1\n" + more, hostsFile: "127.0.0.1 localhost\n"})
	r.port = listeners[0].port
	r.rank = func(a netip.Addr) int { // as on a host that has both families
		if a.Is4() {
			return 1
		}
		return 0
	}
	return r
}

func strs(found []netip.Addr) []string {
	var out []string
	for _, a := range found {
		out = append(out, a.String())
	}
	return out
}

func TestLookupNetIP(t *testing.T) {
	known := map[string][]string{
		"xmpp.example. A":        {"xmpp.example. A 192.0.2.1"},
		"xmpp.example. AAAA":     {"xmpp.example. AAAA 2001:db8::1"},
		"old.example. A":         {"old.example. A 192.0.2.2", "old.example. A 192.0.2.3"},
		"alias.example. A":       {"Alias.Example. CNAME b.example.", "b.example. CNAME c.example.", "c.example. A 192.0.2.4", "stray.example. A 192.0.2.66"},
		"circle.example. A":      {"circle.example. CNAME b.example.", "b.example. CNAME circle.example."},
		"text.example. TXT":      {"text.example. TXT nothing"},
		"short.lan. A":           {"short.lan. A 192.0.2.5"},
		"localhost. A":           {"localhost. A 192.0.2.66"},
		"both.example.lan.lan A": nil,
	}
	r := serve(t, "search corp lan\n", &zone{records: known})
	for _, c := range []struct {
		host, network string
		want          []string
		fault         string
	}{
		{"xmpp.example", "ip", []string{"2001:db8::1", "192.0.2.1"}, ""},
		{"XMPP.example.", "ip4", []string{"192.0.2.1"}, ""},
		{"xmpp.example", "ip6", []string{"2001:db8::1"}, ""},
		{"old.example", "ip", []string{"192.0.2.2", "192.0.2.3"}, ""},
		{"old.example", "ip6", nil, noRecords},
		{"alias.example", "ip", []string{"192.0.2.4"}, ""},
		{"circle.example", "ip", nil, noRecords},
		{"text.example", "ip", nil, noRecords},
		{"short", "ip", []string{"192.0.2.5"}, ""},
		{"short.", "ip", nil, noSuchName},
		{"localhost", "ip", []string{"127.0.0.1"}, ""},
		{"nobody.example", "ip", nil, noSuchName},
		{"192.0.2.9", "ip", []string{"192.0.2.9"}, ""},
		{"fe80::1%lo", "ip", []string{"fe80::1%lo"}, ""},
		{"", "ip", nil, noName},
		{".", "ip", nil, noName},
		{"a..b", "ip", nil, noName},
		{strings.Repeat("a", 64) + ".example", "ip", nil, noName},
	} {
		t.Run(c.host+" "+c.network, func(t *testing.T) {
			got, err := r.LookupNetIP(t.Context(), c.network, c.host)
			if diff := cmp.Diff(c.want, strs(got)); diff != "" {
				t.Error(diff)
			}
			fault, _ := errors.AsType[*net.DNSError](err)
			if c.fault == "" && err != nil || c.fault != "" && (fault == nil || fault.Err != c.fault || !fault.IsNotFound || fault.Name != c.host) {
				t.Errorf("error %v, want %q about %s", err, c.fault, c.host)
			}
		})
	}
}

// TestServersTakeTurns: which server's answer counts.
func TestServersTakeTurns(t *testing.T) {
	good := map[string][]string{"xmpp.example. A": {"xmpp.example. A 192.0.2.1"}, "_s._tcp.xmpp.example. SRV": {"_s._tcp.xmpp.example. SRV 1 2 3 a.example."}}
	for _, c := range []struct {
		name  string
		zones []*zone
		want  []string
		fault string
	}{
		{"the first one is silent", []*zone{{silent: true}, {records: good}}, []string{"192.0.2.1"}, ""},
		{"the first one is broken", []*zone{{rcode: dns.RcodeServerFailure}, {records: good}}, []string{"192.0.2.1"}, ""},
		{"the first one refuses", []*zone{{rcode: dns.RcodeRefused}, {records: good}}, []string{"192.0.2.1"}, ""},
		{"the first one answers something else", []*zone{{other: true}, {records: good}}, []string{"192.0.2.1"}, ""},
		{"the first one knows no such name", []*zone{{}, {records: good}}, nil, noSuchName},
		{"an answer that needs TCP", []*zone{{records: good, truncate: true}}, []string{"192.0.2.1"}, ""},
		{"all are silent", []*zone{{silent: true}, {silent: true}}, nil, noAnswer},
		{"broken counts more than silent", []*zone{{rcode: dns.RcodeServerFailure}, {silent: true}}, nil, "the DNS server answers SERVFAIL; check that server"},
		{"a code without a name", []*zone{{rcode: 14}}, nil, "the DNS server answers an unknown error; check that server"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := serve(t, "", c.zones...)
			got, err := r.LookupNetIP(t.Context(), "ip", "xmpp.example")
			if diff := cmp.Diff(c.want, strs(got)); diff != "" {
				t.Error(diff)
			}
			fault, _ := errors.AsType[*net.DNSError](err)
			if c.fault == "" && err != nil || c.fault != "" && (fault == nil || fault.Err != c.fault) {
				t.Fatalf("error %v, want %q", err, c.fault)
			}
			if c.fault != "" && (fault.Name != "xmpp.example" || !strings.Contains(fault.Server, ":"+r.port)) {
				t.Errorf("%v does not say which name and which server", err)
			}
			_, records, err := r.LookupSRV(t.Context(), "s", "tcp", "xmpp.example")
			if (err == nil) != (c.fault == "") || err == nil && records[0].Target != "a.example." {
				t.Errorf("SRV records %v, %v", records, err)
			}
		})
	}
}

// TestASilentServerLeavesTime: a caller in a hurry hears the second server.
func TestASilentServerLeavesTime(t *testing.T) {
	r := serve(t, "options timeout:30\n", &zone{silent: true}, &zone{records: map[string][]string{"xmpp.example. A": {"xmpp.example. 60 IN A 192.0.2.1"}}})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	found, err := r.LookupNetIP(ctx, "ip4", "xmpp.example")
	if diff := cmp.Diff([]string{"192.0.2.1"}, strs(found)); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

// TestSilenceEndsTheSearch: where nobody answers, other names are not asked for.
func TestSilenceEndsTheSearch(t *testing.T) {
	z := &zone{silent: true}
	r := serve(t, "search a b c\n", z)
	if _, err := r.LookupNetIP(t.Context(), "ip4", "short"); err == nil {
		t.Fatal("found")
	}
	if got := z.asked.Load(); got != 1 {
		t.Errorf("asked %d times, want once", got)
	}
}

// TestTheContextEndsALookup does not wait for a server.
func TestTheContextEndsALookup(t *testing.T) {
	r := serve(t, "options timeout:30 attempts:5\n", &zone{silent: true})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	began := time.Now()
	_, err := r.LookupNetIP(ctx, "ip", "xmpp.example")
	if took := time.Since(began); err == nil || took > 10*time.Second {
		t.Errorf("took %v, %v", took, err)
	}
}

func TestLookupSRV(t *testing.T) {
	r := serve(t, "", &zone{records: map[string][]string{
		"_xmpp-client._tcp.a.example. SRV": {
			"_xmpp-client._tcp.a.example. SRV 20 0 5222 second.example.", "_xmpp-client._tcp.a.example. SRV 10 5 443 first.example.",
			"_other._tcp.a.example. SRV 0 0 1 stray.example.",
		},
		"_xmpp-client._tcp.none.example. SRV": {"_xmpp-client._tcp.none.example. SRV 0 0 0 ."},
		"_xmpp-client._tcp.text.example. TXT": {"_xmpp-client._tcp.text.example. TXT nothing"},
	}})
	_, got, err := r.LookupSRV(t.Context(), "xmpp-client", "tcp", "a.example")
	if err != nil {
		t.Fatal(err)
	}
	want := []*net.SRV{{Target: "first.example.", Port: 443, Priority: 10, Weight: 5}, {Target: "second.example.", Port: 5222, Priority: 20}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, got, err := r.LookupSRV(t.Context(), "xmpp-client", "tcp", "none.example"); err != nil || len(got) != 1 || got[0].Target != "." {
		t.Errorf("no service: got %v, %v", got, err)
	}
	for _, name := range []string{"nobody.example", "text.example", "..", strings.Repeat("a.", 130)} {
		_, _, err := r.LookupSRV(t.Context(), "xmpp-client", "tcp", name)
		if fault, ok := errors.AsType[*net.DNSError](err); !ok || !fault.IsNotFound {
			t.Errorf("%s: %v, want that there is none", name, err)
		}
	}
}

// TestTheFilesAreReadAnew: each lookup is by the files as they are then.
func TestTheFilesAreReadAnew(t *testing.T) {
	z := &zone{records: map[string][]string{"xmpp.example. A": {"xmpp.example. A 192.0.2.1"}}}
	r := serve(t, "", z)
	good := "nameserver 127.0.0.1\noptions attempts:1 timeout:1\n"
	look := func(want string) {
		t.Helper()
		got, err := r.LookupNetIP(t.Context(), "ip", "xmpp.example")
		if text := strings.Join(strs(got), " "); text != want {
			t.Errorf("got %q, %v, want %q", text, err, want)
		}
	}
	put(t, r, resolvConf, "nameserver 127.0.0.99\noptions attempts:1 timeout:1\n")
	look("")
	put(t, r, resolvConf, good)
	look("192.0.2.1")
	put(t, r, resolvConf, "-> ../run/systemd/resolve/stub-resolv.conf")
	put(t, r, "/run/systemd/resolve/stub-resolv.conf", good)
	look("192.0.2.1")
	put(t, r, hostsFile, "192.0.2.7 xmpp.example\n")
	look("192.0.2.7")
}

// TestWatch: which changes of the files are noticed, within a second.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := host(t, map[string]string{hostsFile: "127.0.0.1 localhost\n", resolvConf: "nameserver 192.0.2.1\n"})
		ctx, cancel := context.WithCancel(t.Context())
		var changes atomic.Int32
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.Watch(ctx, func() { changes.Add(1) })
		}()
		synctest.Wait()
		for _, step := range []struct {
			what string
			do   func()
			want int
		}{
			{"nothing", func() {}, 0},
			{"the same again", func() { put(t, r, resolvConf, "nameserver 192.0.2.1\n") }, 0},
			{"renamed over it", func() { put(t, r, resolvConf, "nameserver 192.0.2.2\n") }, 1},
			{"a link to a file of the host", func() {
				put(t, r, "/run/resolvconf/resolv.conf", "nameserver 192.0.2.9\n")
				put(t, r, resolvConf, "-> /run/resolvconf/resolv.conf")
			}, 1},
			{"the target changes", func() { put(t, r, "/run/resolvconf/resolv.conf", "nameserver 192.0.2.3\n") }, 1},
			{"a link to nowhere", func() { put(t, r, resolvConf, "-> ../run/systemd/resolve/stub-resolv.conf") }, 1},
			{"its target appears", func() { put(t, r, "/run/systemd/resolve/stub-resolv.conf", "nameserver 192.0.2.4\n") }, 1},
			{"the hosts file", func() { put(t, r, hostsFile, "192.0.2.1 xmpp.example\n") }, 1},
		} {
			before := int(changes.Load())
			step.do()
			<-time.After(lookEvery)
			synctest.Wait()
			if got := int(changes.Load()) - before; got != step.want {
				t.Errorf("%s: %d changes, want %d", step.what, got, step.want)
			}
		}
		cancel()
		<-done
	})
}

// FuzzAnswer takes any message for an answer: whatever it is, what comes out can be used.
func FuzzAnswer(f *testing.F) {
	m := new(dns.Msg).SetQuestion("a.example.", dns.TypeA)
	for _, text := range []string{"a.example. CNAME b.example.", "b.example. A 192.0.2.1", "b.example. AAAA 2001:db8::1", "a.example. SRV 1 2 3 c.example."} {
		record, err := dns.NewRR(text)
		if err != nil {
			f.Fatal(err)
		}
		m.Answer = append(m.Answer, record)
	}
	packed, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed)
	f.Fuzz(func(t *testing.T, b []byte) {
		answer := new(dns.Msg)
		if answer.Unpack(b) != nil {
			return
		}
		for _, a := range addressesOf(answer, "a.example.") {
			if !a.IsValid() || a.Is4In6() {
				t.Errorf("address %v", a)
			}
		}
		_, services := servicesOf(answer, "a.example.")
		order(services, randomBelow)
		for _, s := range services {
			if s.Target == "" {
				t.Error("a service without a target")
			}
		}
	})
}
