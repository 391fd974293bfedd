package signal

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// hosts is a resolver of names that a test makes up.
type hosts struct {
	addresses map[string][]string
	services  map[string][]*net.SRV // by _service._proto.name
	silent    bool                  // no server answers for SRV records
}

func (h *hosts) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	var found []netip.Addr
	for _, a := range h.addresses[strings.TrimSuffix(host, ".")] {
		found = append(found, netip.MustParseAddr(a))
	}
	if len(found) == 0 {
		return nil, &net.DNSError{Err: "no such name", Name: host, IsNotFound: true}
	}
	return found, nil
}

func (h *hosts) LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error) {
	asked := "_" + service + "._" + proto + "." + name
	if h.silent {
		<-ctx.Done()
		return "", nil, &net.DNSError{Err: "no answer", Name: asked, IsTimeout: true}
	}
	if found := h.services[asked]; len(found) > 0 {
		return asked, found, nil
	}
	return "", nil, &net.DNSError{Err: "no such name", Name: asked, IsNotFound: true}
}

// TestEndpoints: where an account without a server looks for one.
func TestEndpoints(t *testing.T) {
	names := &hosts{services: map[string][]*net.SRV{
		"_xmpp-client._tcp.evio.test":  {{Target: "one.test.", Port: 5222}, {Target: "two.test.", Port: 443, Priority: 5}},
		"_xmpps-client._tcp.evio.test": {{Target: "secure.test.", Port: 5270}},
		"_xmpp-client._tcp.none.test":  {{Target: "."}},
		"_xmpp-client._tcp.odd.test":   {{Target: "a.test."}, {Target: ""}, {Target: ".", Port: 1}},
	}}
	for i := range 2 * maxEndpoints {
		names.services["_xmpp-client._tcp.many.test"] = append(names.services["_xmpp-client._tcp.many.test"], &net.SRV{Target: fmt.Sprintf("h%d.test.", i), Port: math.MaxUint16})
	}
	for _, c := range []struct {
		name, jid, server string
		direct            bool
		want              []string
		fault             string
	}{
		{name: "records", jid: "a@evio.test", want: []string{"one.test:5222", "two.test:443"}},
		{name: "records for direct TLS", jid: "a@evio.test", direct: true, want: []string{"secure.test:5270"}},
		{name: "a server is named", jid: "a@evio.test", server: "other.test", want: []string{"other.test:5222"}},
		{name: "a port is named", jid: "a@evio.test", server: ":443", want: []string{"evio.test:443"}},
		{name: "no records", jid: "a@plain.test", want: []string{"plain.test:5222"}},
		{name: "no records for direct TLS", jid: "a@plain.test", direct: true, want: []string{"plain.test:5223"}},
		{name: "an address is no domain", jid: "a@192.0.2.1", want: []string{"192.0.2.1:5222"}},
		{name: "service not available", jid: "a@none.test", fault: "_xmpp-client._tcp.none.test say that there is no such service"},
		{name: "records of no use", jid: "a@odd.test", fault: "no such service"},
		{name: "too many records", jid: "a@many.test", want: []string{
			"h0.test:65535", "h1.test:65535", "h2.test:65535", "h3.test:65535", "h4.test:65535", "h5.test:65535", "h6.test:65535", "h7.test:65535",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t)
			s.cfg.JID, s.cfg.Server, s.cfg.DirectTLS, s.cfg.Resolver = c.jid, c.server, c.direct, names
			client, err := New(s.cfg, s)
			if err != nil {
				t.Fatal(err)
			}
			found, err := client.endpoints(t.Context())
			var got []string
			for _, e := range found {
				got = append(got, e.String())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if c.fault == "" && err != nil || c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)) {
				t.Errorf("error %v, want %q", err, c.fault)
			}
		})
	}
}

// TestDiscoveredServerServes: the first host of the records refuses, the second never
// ends the login, the third serves; the certificate is the domain's all the same.
func TestDiscoveredServerServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dialled []string
		s := newScene(t,
			func(p *peer) { p.drainRaw() },
			serve(func(p *peer, _ string) { p.drain() }))
		s.cfg.Resolver = &hosts{
			addresses: map[string][]string{"one.test": {"192.0.2.1"}, "two.test": {"192.0.2.2"}, "three.test": {"192.0.2.3"}},
			services: map[string][]*net.SRV{"_xmpp-client._tcp.evio.test": {
				{Target: "one.test.", Port: 5222}, {Target: "two.test.", Port: 5222}, {Target: "three.test.", Port: 7777},
			}},
		}
		s.cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			dialled = append(dialled, addr)
			if addr == "192.0.2.1:5222" {
				return nil, errors.New("connection refused")
			}
			return s.dial(ctx, network, addr)
		}
		began := time.Now()
		s.start()
		s.expectLogin()
		if took := time.Since(began); took > loginTimeout {
			t.Errorf("logged in after %v, want within one attempt's %v", took, loginTimeout)
		}
		if diff := cmp.Diff([]string{"192.0.2.1:5222", "192.0.2.2:5222", "192.0.2.3:7777"}, dialled); diff != "" {
			t.Error(diff)
		}
		if got := s.client.Status().Server; got != "three.test:7777" {
			t.Errorf("status names the server %q", got)
		}
		s.end()
	})
}

// TestRefusedAccountIsNotTriedElsewhere: the other hosts have the same accounts.
func TestRefusedAccountIsNotTriedElsewhere(t *testing.T) {
	refusal := &loginRefused{testJID, "not-authorized"}
	tried := 0
	_, err := anyOf(t.Context(), make([]endpoint, 3), time.Minute, func(context.Context, endpoint) (int, error) {
		tried++
		return 0, refusal
	})
	if !errors.Is(err, refusal) || tried != 1 {
		t.Errorf("tried %d times, %v", tried, err)
	}
}

// TestEveryEndpointIsNamedInTheError gives the reason of each.
func TestEveryEndpointIsNamedInTheError(t *testing.T) {
	_, err := anyOf(t.Context(), []endpoint{{"a.test", "1"}, {"b.test", "2"}}, time.Minute, func(_ context.Context, e endpoint) (int, error) {
		return 0, errors.New("connect to " + e.String() + ": refused")
	})
	if want := "connect to a.test:1: refused; connect to b.test:2: refused"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestSilentDNSLeavesTimeForTheLogin: a domain that the hosts file knows is reached
// although no server answers for SRV records.
func TestSilentDNSLeavesTimeForTheLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, serve(func(p *peer, _ string) { p.drain() }))
		s.cfg.Resolver = &hosts{addresses: map[string][]string{"evio.test": {"192.0.2.1"}}, silent: true}
		began := time.Now()
		s.start()
		s.expectLogin()
		if took := time.Since(began); took > discoverTimeout+time.Second {
			t.Errorf("took %v", took)
		}
		s.end()
	})
}

// TestRace: which of a host's addresses is taken, and when the next one is tried.
func TestRace(t *testing.T) {
	const silent, refuses, serves = "silent", "refuses", "serves"
	for _, c := range []struct {
		name    string
		targets []string
		took    time.Duration
		fault   string
	}{
		{name: "one", targets: []string{serves}},
		{name: "the first one refuses", targets: []string{refuses, serves}},
		{name: "the first one is silent", targets: []string{silent, serves}, took: headStart},
		{name: "two are silent", targets: []string{silent, silent, serves}, took: 2 * headStart},
		{name: "all refuse", targets: []string{refuses, refuses}, fault: refuses},
		{name: "nobody answers", targets: []string{silent, refuses}, took: time.Minute, fault: "deadline"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				began := time.Now()
				conn, err := race(ctx, c.targets, func(ctx context.Context, _, addr string) (net.Conn, error) {
					switch addr {
					case silent:
						<-ctx.Done()
						return nil, ctx.Err()
					case refuses:
						return nil, errors.New(addr)
					default:
						client, _ := newPipe()
						return client, nil
					}
				})
				if took := time.Since(began); took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
				if c.fault == "" && (err != nil || conn == nil) || c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)) {
					t.Errorf("got %v, %v, want %q", conn, err, c.fault)
				}
			})
		})
	}
}

// slowConn notes that it was closed.
type slowConn struct {
	net.Conn
	closed *sync.WaitGroup
}

func (c slowConn) Close() error {
	c.closed.Done()
	return nil
}

// TestRaceClosesTheLoser: a connection that comes too late does not stay open.
func TestRaceClosesTheLoser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var closed sync.WaitGroup
		closed.Add(1)
		conn, err := race(t.Context(), []string{"late", "early"}, func(ctx context.Context, _, addr string) (net.Conn, error) {
			if addr == "late" {
				<-ctx.Done() // it was connected all the same
				return slowConn{closed: &closed}, nil
			}
			client, _ := newPipe()
			return client, nil
		})
		if err != nil || conn == nil {
			t.Fatal(err)
		}
		closed.Wait()
	})
}
