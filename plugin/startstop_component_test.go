//go:build component

package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestStartAndEnd: evio answers within a second of its start whatever else is away or
// slow, and ends within ten of SIGTERM whatever it is doing.
func TestStartAndEnd(t *testing.T) {
	dir := workplace(t)
	write := func(name, text string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	p := start(t, dir, nil)
	p.must("CreateNetwork", createNetwork(1))
	p.must("CreateEndpoint", createEndpoint(1, 1))
	p.must("Join", join(1, 1))
	t.Logf("ended in %v with nothing to do", p.stop().Round(time.Millisecond))

	// The server, STUN and TURN are in a network that loses all; Docker's socket is
	// there and nobody answers; the switch takes its time.
	write("password", "secret\n", 0o600)
	write("config.json", strings.ReplaceAll(`{"signalling": [{"server": "198.51.100.1:5222", "jid": "a@example.org", "password_file": "DIR/password", "overlays": {"*": "roster"}}],
		"stun": ["198.51.100.2:3478"], "turn": [{"uri": "turn:198.51.100.3:3478", "username": "a", "password_file": "DIR/password"}]}`, "DIR", dir), 0o600)
	docker, err := net.Listen("unix", filepath.Join(dir, "docker.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer docker.Close() //nolint:errcheck // nobody is served
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	write("bin/ovsdb-tool", "#!/bin/sh\nsleep 2\nexec /usr/bin/ovsdb-tool \"$@\"\n", 0o700)
	p = start(t, dir, []string{"PATH=" + filepath.Join(dir, "bin") + ":" + os.Getenv("PATH")})
	first := time.Since(p.began)
	t.Logf("first answer %v after the start", first.Round(time.Millisecond))
	if first > time.Second {
		t.Errorf("the first answer came %v after the start", first)
	}
	began := time.Now()
	p.must("CreateEndpoint", createEndpoint(1, 2))
	p.must("Join", join(1, 2)) // waits for the switch
	t.Logf("Join waited %v for the switch", time.Since(began).Round(time.Millisecond))

	// Under load, with half of a request on some connections.
	for range 10 {
		conn, err := net.Dial("unix", p.socket())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close() //nolint:errcheck // evio closes it
		if _, err := conn.Write([]byte("POST /NetworkDriver.Join HTTP/1.1\r\nHost: plugin\r\nContent-Length: 100\r\n\r\n{")); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	for e := 10; e < 26; e++ {
		load.Go(func() {
			for ctx.Err() == nil {
				for _, c := range []struct {
					method string
					body   any
				}{{"CreateEndpoint", createEndpoint(1, e)}, {"Join", join(1, e)}, {"Leave", ids(1, e)}, {"DeleteEndpoint", ids(1, e)}} {
					if _, err := p.send(ctx, c.method, c.body); err != nil {
						return // evio is gone
					}
				}
			}
		})
	}
	await(t, 10*time.Second, "load", func() error { return p.ok("EndpointOperInfo", ids(1, 10)) })
	took := p.stop()
	cancel()
	load.Wait()
	t.Logf("ended in %v under load", took.Round(time.Millisecond))
	if took > 10*time.Second || p.err != nil {
		t.Errorf("ended after %v with %v", took, p.err)
	}
}
