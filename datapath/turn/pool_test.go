package turn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// secure lets a server speak TLS.
func secure(s *testServer) {
	_, certificate := authority()
	s.tls = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
}

func trusted() (*x509.CertPool, error) { pool, _ := authority(); return pool, nil }

func TestRelayBetweenTwoPools(t *testing.T) {
	for _, c := range []struct {
		name, network, transport string
		change                   func(*testServer)
	}{
		{"udp", UDP, UDP, nil},
		{"tcp", TCP, TCP, nil},
		{"tls", TCP, TLS, secure},
		{"secret", UDP, UDP, func(s *testServer) { s.secret = true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, c.network, c.change)
			server := s.client()
			if c.transport == TLS {
				server.RootCAs = trusted
			}
			alice, bob := newClient(t, server), newClient(t, server)
			a, b := alice.acquire(t), bob.acquire(t)
			if a.Transport() != c.transport || a.Server() != server.URI {
				t.Errorf("%s by %s, want %s by %s", a.Server(), a.Transport(), server.URI, c.transport)
			}
			if got := s.server.AllocationCount(); got != 2 {
				t.Errorf("%d allocations at the server, want 2", got)
			}
			if err := b.Permit(t.Context(), a.Addr().Addr()); err != nil {
				t.Fatal(err)
			}
			// The first datagrams wait for a permission, the last pass a channel.
			for text := range strings.FieldsSeq("0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15") {
				if err := a.Send(b.Addr(), []byte("to bob "+text)); err != nil {
					t.Fatal(err)
				}
				if got, want := bob.await(t), (arrival{a.Addr(), "to bob " + text}); got != want {
					t.Fatalf("bob got %v, want %v", got, want)
				}
				if err := b.Send(a.Addr(), []byte("to alice "+text)); err != nil {
					t.Fatal(err)
				}
				if got, want := alice.await(t), (arrival{b.Addr(), "to alice " + text}); got != want {
					t.Fatalf("alice got %v, want %v", got, want)
				}
			}
			until(t, "a channel is bound", func() bool {
				if err := a.Send(b.Addr(), []byte("more")); err != nil {
					t.Fatal(err)
				}
				bob.await(t)
				a.mu.Lock()
				defer a.mu.Unlock()
				return a.channels[b.Addr()].usable(time.Now())
			})
			a.Release()
			b.Release()
			awaitDone(t, a)
			awaitDone(t, b)
			if !errors.Is(a.Err(), ErrReleased) {
				t.Errorf("ended by %v, want %v", a.Err(), ErrReleased)
			}
			until(t, "the server has no allocation", func() bool { return s.server.AllocationCount() == 0 })
			if got := alice.Status()[0]; got.State != Usable || got.Allocations != 0 {
				t.Errorf("status %+v", got)
			}
		})
	}
}

func TestOneAllocationForAll(t *testing.T) {
	s := serve(t, UDP, nil)
	c := newClientWith(t, timing{linger: 200 * time.Millisecond}, s.client())
	const users = 10
	got := make(chan *Allocation, users)
	for range users {
		go func() {
			a, err := c.Acquire(t.Context())
			if err != nil {
				t.Error(err)
			}
			got <- a
		}()
	}
	first := <-got
	for range users - 1 {
		if a := <-got; a != first {
			t.Error("another allocation")
		}
	}
	for range users - 1 {
		first.Release()
	}
	if again := c.acquire(t); again != first {
		t.Error("another allocation while one is in use")
	}
	first.Release()
	first.Release()
	if again := c.acquire(t); again != first {
		t.Error("another allocation just after the last release")
	}
	first.Release()
	if n := s.server.AllocationCount(); n != 1 {
		t.Errorf("%d allocations at the server, want 1", n)
	}
	awaitDone(t, first)
	until(t, "the server has no allocation", func() bool { return s.server.AllocationCount() == 0 })
}

func TestWhyAServerCannotBeUsed(t *testing.T) {
	plain := serve(t, UDP, nil)
	shared := serve(t, UDP, func(s *testServer) { s.secret = true })
	private := serve(t, TCP, secure)
	full := serve(t, TCP, nil)
	full.full.Store(true)
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close() //nolint:errcheck // of a test
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	with := func(s *testServer, change func(*Server)) Server {
		c := s.client()
		change(&c)
		return c
	}
	for _, c := range []struct {
		name, reason string
		server       Server
	}{
		{"password", "it answers 400: it does not take the request; check username and password", with(plain, func(c *Server) { c.Password = text("wrong") })},
		{"username", "it answers 400: it does not take the request; check username and password", with(plain, func(c *Server) { c.Username = "eve" })},
		{"secret", "it answers 400: it does not take the request; check the secret", with(shared, func(c *Server) { c.Secret = text("wrong") })},
		{"password file", "read its password: no such file", with(plain, func(c *Server) {
			c.Password = func() (string, error) { return "", errors.New("no such file") }
		})},
		{"system's authorities", "its certificate is not verified by the system's authorities; give it a ca_file if its authority is a private one", private.client()},
		{"authority", "its certificate is not verified by ca_file; check that file and the names in the server's certificate", with(private, func(c *Server) {
			c.RootCAs = func() (*x509.CertPool, error) { return x509.NewCertPool(), nil }
		})},
		{"name in certificate", "its certificate is not verified by ca_file", with(private, func(c *Server) {
			c.URI, c.RootCAs = "turns:"+private.address.String(), trusted
		})},
		{"no TLS", "it ended the connection", with(full, func(c *Server) { c.URI = "turns:" + full.address.String() })},
		{"quota", "it answers 486: the quota of relayed addresses of this user is used up; raise it at the server", full.client()},
		{"silence", "no answer within 500ms; check that it runs, and that firewalls let UDP to port", Server{URI: "turn:" + silent.LocalAddr().String(), Username: "evio", Password: text("right")}},
		{"refused by TCP", "connection refused; check that it runs and listens at TCP port", Server{URI: "turn:" + closed.Addr().String() + "?transport=tcp", Username: "evio", Password: text("right")}},
		{"refused by UDP", "connection refused; check that it runs and listens at UDP port", Server{URI: "turn:" + closed.Addr().String(), Username: "evio", Password: text("right")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			times := timing{retry: time.Hour}
			if c.name == "silence" {
				times.answer = 500 * time.Millisecond
			}
			p := newClientWith(t, times, c.server)
			for range 2 { // the second time it is not asked
				_, err := p.Acquire(t.Context())
				if err == nil || !strings.Contains(err.Error(), c.server.URI+": "+c.reason) {
					t.Errorf("got %v, want %s", err, c.reason)
				}
			}
			if got := p.Status()[0]; got.State != Failed || !strings.HasPrefix(got.Reason, c.reason) || got.Allocations != 0 {
				t.Errorf("status %+v, want %s", got, c.reason)
			}
			if n := len(p.log.AllEntries()); n != 1 || p.log.LastEntry().Level.String() != "warning" {
				t.Errorf("%d log lines, want one warning", n)
			}
		})
	}
	for _, s := range []*testServer{plain, shared, private, full} {
		until(t, "no allocation is left", func() bool { return s.server.AllocationCount() == 0 })
	}
}

func TestNameThatIsNotResolved(t *testing.T) {
	c := newClient(t, Server{URI: "turn:turn.example", Username: "evio", Password: text("right")})
	c.config.Resolve = func(context.Context, string) ([]netip.Addr, error) {
		return nil, &net.DNSError{Err: "no such host", Name: "turn.example", IsNotFound: true}
	}
	_, err := c.Acquire(t.Context())
	if err == nil || !strings.Contains(err.Error(), "the name turn.example is not resolved; check the name") {
		t.Errorf("got %v", err)
	}
}

// TestResolverThatIsSilent takes as long as the server may.
func TestResolverThatIsSilent(t *testing.T) {
	c := newClientWith(t, timing{answer: 200 * time.Millisecond}, Server{URI: "turn:turn.example", Username: "evio", Password: text("right")})
	c.config.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
		<-ctx.Done() // the system's resolver says then:
		return nil, &net.DNSError{Err: "i/o timeout", Name: host, IsTimeout: true, IsTemporary: true}
	}
	_, err := c.Acquire(t.Context())
	if err == nil || !strings.Contains(err.Error(), "the name turn.example is not resolved, since no DNS server answers; check the DNS") {
		t.Errorf("got %v", err)
	}
}

func TestTheNextServerIsAsked(t *testing.T) {
	bad, good := serve(t, UDP, nil), serve(t, TCP, nil)
	wrong := bad.client()
	wrong.Password = text("wrong")
	c := newClient(t, wrong, good.client())
	a := c.acquire(t)
	defer a.Release()
	if a.Server() != good.client().URI {
		t.Errorf("got %s, want the second", a.Server())
	}
	if got := c.Status(); got[0].State != Failed || got[1].State != Usable || got[1].Allocations != 1 {
		t.Errorf("status %+v", got)
	}
}

// TestLosersLeaveNothing has two servers answer at almost the same time.
func TestLosersLeaveNothing(t *testing.T) {
	one, two := serve(t, UDP, nil), serve(t, UDP, nil)
	for range 20 {
		c := newClientWith(t, timing{stagger: time.Nanosecond}, one.client(), two.client())
		a := c.acquire(t)
		until(t, "one allocation is left", func() bool { return one.server.AllocationCount()+two.server.AllocationCount() == 1 })
		a.Release()
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		until(t, "none is left", func() bool { return one.server.AllocationCount()+two.server.AllocationCount() == 0 })
	}
}

func TestOneAddressIsSilent(t *testing.T) {
	s := serve(t, UDP, nil)
	server := s.client()
	c := newClient(t, server)
	dialed := 0
	c.config.Resolve = func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("::1"), netip.MustParseAddr("127.0.0.1")}, nil
	}
	c.servers[0].uri.Host = "both.example"
	c.config.Dial = func(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
		if to.Addr().Is6() {
			dialed++
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return dial(ctx, network, to)
	}
	a := c.acquire(t)
	defer a.Release()
	if !a.Addr().Addr().Is4() || dialed != 1 {
		t.Errorf("relayed address %s after %d other attempts", a.Addr(), dialed)
	}
}

func TestWhoeverWaitsMayLeave(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close() //nolint:errcheck // of a test
	c := newClientWith(t, timing{}, Server{URI: "turn:" + silent.LocalAddr().String(), Username: "evio", Password: text("right")})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := c.Acquire(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the end of the context", err)
	}
	began := time.Now()
	if err := c.Close(); err != nil || time.Since(began) > AnswerTimeout/2 {
		t.Errorf("closed after %v: %v", time.Since(began), err)
	}
	if _, err := c.Acquire(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want %v", err, ErrClosed)
	}
}
