//go:build component

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// seed returns the seed of a random test, which EVIO_TEST_SEED repeats.
func seed(t *testing.T) *rand.Rand {
	t.Helper()
	n := uint64(time.Now().UnixNano())
	if text := os.Getenv("EVIO_TEST_SEED"); text != "" {
		var err error
		if n, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("EVIO_TEST_SEED=%d", n)
	return rand.New(rand.NewPCG(n, 1))
}

// TestHostileCalls: whatever comes over the plugin's socket, evio stays alive, answers at
// once, and is afterwards as it was.
func TestHostileCalls(t *testing.T) {
	p := start(t, workplace(t), nil)
	random := seed(t)
	p.must("CreateNetwork", createNetwork(1)) // waits for Open vSwitch
	p.must("CreateEndpoint", createEndpoint(1, 1))
	p.must("Join", join(1, 1))
	before := p.mustInventory()
	t.Logf("before: %+v", before)
	for _, part := range []struct {
		name string
		run  func(*testing.T, *process, *rand.Rand)
	}{{"random", randomCalls}, {"malformed", malformedCalls}, {"concurrent", concurrentCalls}, {"given up", givenUpCalls}} {
		began := time.Now()
		part.run(t, p, random)
		took := time.Since(began)
		answered := p.responsive()
		for n := 2; n <= 4; n++ {
			p.must("DeleteNetwork", ids(n, 0))
		}
		for e := 2; e <= 300; e++ {
			p.must("DeleteEndpoint", ids(1, e))
		}
		began = time.Now()
		p.client.CloseIdleConnections()
		p.back(before)
		t.Logf("%s: %v, then answered in %v, as before after %v", part.name, took.Round(time.Millisecond), answered, time.Since(began).Round(time.Millisecond))
	}
	p.must("Leave", ids(1, 1))
	p.must("DeleteEndpoint", ids(1, 1))
	p.must("DeleteNetwork", ids(1, 0))
	if left := p.mustInventory(); len(left.Devices)+len(left.Files)+len(left.Ports) > 0 {
		t.Errorf("left: %+v", left)
	}
}

// randomCalls makes 500 calls that are JSON of right and of wrong types, about few
// objects, in any order.
func randomCalls(t *testing.T, p *process, random *rand.Rand) {
	t.Helper()
	methods := []string{
		"CreateNetwork", "DeleteNetwork", "CreateEndpoint", "CreateEndpoint", "CreateEndpoint", "Join", "Join", "Join", "Leave", "Leave", "DeleteEndpoint",
		"DeleteEndpoint", "EndpointOperInfo", "AllocateNetwork", "FreeNetwork", "DiscoverNew", "DiscoverDelete", "ProgramExternalConnectivity", "RevokeExternalConnectivity",
	}
	type call struct {
		method string
		body   any
	}
	work := make([]call, 500)
	for i := range work {
		n, e := 2+random.IntN(3), 10*(1+random.IntN(3))+random.IntN(3)
		method := methods[random.IntN(len(methods))]
		body := map[string]object{
			"CreateNetwork": createNetwork(n), "CreateEndpoint": createEndpoint(n, e), "Join": join(n, e),
		}[method]
		if body == nil {
			body = ids(n, e)
		}
		if random.IntN(4) == 0 {
			keys := slices.Sorted(maps.Keys(body))
			body[keys[random.IntN(len(keys))]] = randomValue(random, 3) // one field is of any type
		}
		work[i] = call{method, body}
		if random.IntN(20) == 0 {
			work[i].body = randomValue(random, 4)
		}
	}
	var next, refused atomic.Int64
	group, ctx := errgroup.WithContext(t.Context())
	for range 8 {
		group.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(work) {
					return nil
				}
				text, err := p.send(ctx, work[i].method, work[i].body)
				if err != nil {
					return fmt.Errorf("%s %v: %w", work[i].method, work[i].body, err)
				}
				if text != "" {
					refused.Add(1)
				}
				if strings.ContainsAny(text, "\n\r") {
					return fmt.Errorf("%s: no sentence: %q", work[i].method, text)
				}
			}
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	t.Logf("random: %d calls, %d refused", len(work), refused.Load())
	for _, undo := range []struct{ made, method string }{{"CreateEndpoint", "DeleteEndpoint"}, {"CreateNetwork", "DeleteNetwork"}} {
		for _, c := range work { // an ID may have been any text
			if c.method != undo.made {
				continue
			}
			if _, err := p.send(t.Context(), undo.method, c.body); err != nil {
				t.Error(err)
			}
		}
	}
}

// randomValue returns a JSON value of any kind.
func randomValue(random *rand.Rand, depth int) any {
	texts := []string{"", "x", netID(2), "../../etc", "a\x00b\nc", strings.Repeat("long", 1000), "\u2028", "10.2.0.1/16", "ff:ff:ff:ff:ff:ff"}
	switch kind := random.IntN(7); {
	case kind == 0:
		return nil
	case kind == 1:
		return random.IntN(2) == 0
	case kind == 2:
		return random.Int64() - random.Int64()
	case kind == 3 || depth == 0:
		return texts[random.IntN(len(texts))]
	case kind == 4:
		return random.Float64() * 1e300
	case kind == 5:
		list := make([]any, random.IntN(4))
		for i := range list {
			list[i] = randomValue(random, depth-1)
		}
		return list
	default:
		m := object{}
		for range random.IntN(4) {
			m[texts[random.IntN(len(texts))]] = randomValue(random, depth-1)
		}
		return m
	}
}

// malformedCalls opens 500 connections with what is no call of Docker, 32 at once, since
// the server waits a while before it closes on nonsense. A part of them stays open until
// the end.
func malformedCalls(t *testing.T, p *process, random *rand.Rand) {
	t.Helper()
	type attempt struct {
		nonsense
		hold bool
	}
	work := make(chan attempt, 500) // all of them
	for range 500 {
		n := malformed(random)
		work <- attempt{n, n.half && random.IntN(2) == 0}
	}
	close(work)
	held := make(chan net.Conn, 500) // at most all of them
	var group errgroup.Group
	for range 32 {
		group.Go(func() error {
			for a := range work {
				conn, err := net.Dial("unix", p.socket())
				if err != nil {
					return err
				}
				if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
					return err
				}
				var answer []byte
				_, err = conn.Write(a.bytes)
				if err == nil && !a.half {
					answer, err = io.ReadAll(conn)
				}
				if err != nil && !isReset(err) {
					return fmt.Errorf("%.80q: %w", a.bytes, err)
				}
				if a.wrong && bytes.HasPrefix(answer, []byte("HTTP/1.1 2")) {
					return fmt.Errorf("%.300q was answered with %.300q", a.bytes, answer)
				}
				if a.hold {
					held <- conn
				} else if err := conn.Close(); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	p.responsive()
	close(held)
	for conn := range held {
		_ = conn.Close()
	}
}

func isReset(err error) bool {
	return strings.Contains(err.Error(), "reset by peer") || strings.Contains(err.Error(), "broken pipe")
}

// nonsense is what is written to a connection.
type nonsense struct {
	bytes []byte
	half  bool // more would have to come
	wrong bool // no call can be made of it, so that any success is an error
}

// malformed returns nonsense. What is wrong names the attachment that is there, which has
// to stay; the rest, which may be taken for a call, a network that is not.
func malformed(random *rand.Rand) nonsense {
	methods := []string{"CreateNetwork", "DeleteNetwork", "CreateEndpoint", "Join", "Leave", "DeleteEndpoint", "EndpointOperInfo"}
	method := methods[random.IntN(len(methods))]
	request := func(verb, path, header, body string) []byte {
		return fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: plugin\r\nConnection: close\r\n%sContent-Length: %d\r\n\r\n%s", verb, path, header, len(body), body)
	}
	path := "/NetworkDriver." + method
	call := func(network, endpoint int) string {
		return fmt.Sprintf(`{"NetworkID": %q, "EndpointID": %q}`, netID(network), epID(endpoint))
	}
	body, living := call(2, 20), call(1, 1)
	whole := request("POST", path, "", body)
	garbage := make([]byte, 1+random.IntN(3000))
	for i := range garbage {
		garbage[i] = byte(random.Uint32())
	}
	switch random.IntN(16) {
	case 0: // a cut body
		return nonsense{bytes: request("POST", path, "", living[:random.IntN(len(living))]), wrong: true}
	case 1: // no body
		return nonsense{bytes: request("POST", path, "", ""), wrong: true}
	case 2: // a huge one
		return nonsense{bytes: request("POST", path, "", strings.Repeat(" ", 1<<20)+body)}
	case 3: // deep nesting
		return nonsense{bytes: request("POST", path, "", strings.Repeat(`{"Options":[`, 50000)), wrong: true}
	case 4: // no UTF-8
		return nonsense{bytes: request("POST", path, "", `{"NetworkID": "`+"\xff"+string(garbage)+`"}`)}
	case 5: // another verb
		return nonsense{bytes: request([]string{"GET", "PUT", "DELETE", "OPTIONS", "BREW"}[random.IntN(5)], path, "", body)}
	case 6: // another path
		return nonsense{bytes: request("POST", []string{"/", "/NetworkDriver.", "/NetworkDriver.Explode", "/networkdriver.join", "/..%2f..", "/Plugin.Activate/x", "/IpamDriver.RequestPool"}[random.IntN(7)], "", body)}
	case 7: // another type of content
		return nonsense{bytes: request("POST", path, "Content-Type: "+[]string{"text/xml", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", ""}[random.IntN(4)]+"\r\n", body)}
	case 8: // garbage behind a whole request
		return nonsense{bytes: append([]byte(strings.Replace(string(whole), "Connection: close\r\n", "", 1)), append(garbage, "\r\n\r\n"...)...)}
	case 9: // garbage alone
		return nonsense{bytes: append(garbage, "\r\n\r\n"...), wrong: true}
	case 10: // half a header
		return nonsense{bytes: whole[:random.IntN(40)], half: true}
	case 11: // half a body
		full := request("POST", path, "", living)
		return nonsense{bytes: full[:len(full)-1-random.IntN(len(living)-1)], half: true}
	case 12: // a length that is none
		return nonsense{bytes: []byte("POST " + path + " HTTP/1.1\r\nHost: plugin\r\nContent-Length: " + []string{"-1", "99999999999999999999", "1e3", "7, 8"}[random.IntN(4)] + "\r\n\r\n" + living), wrong: true}
	case 13: // chunks that are none
		return nonsense{bytes: []byte("POST " + path + " HTTP/1.1\r\nHost: plugin\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\n" + living), wrong: true}
	case 14: // a huge header
		return nonsense{bytes: []byte("POST " + path + " HTTP/1.1\r\nHost: plugin\r\nX: " + strings.Repeat("x", 2<<20) + "\r\n\r\n"), wrong: true}
	default: // several at once on one connection
		first := []byte(strings.Replace(string(whole), "Connection: close\r\n", "", 1))
		return nonsense{bytes: append(append(first, first...), whole...)}
	}
}

// concurrentCalls makes 200 calls at once, of one kind after the other.
func concurrentCalls(t *testing.T, p *process, _ *rand.Rand) {
	t.Helper()
	all := func(what string, count int, call func(e int) (string, any)) {
		t.Helper()
		began := time.Now()
		var wg sync.WaitGroup
		var longest atomic.Int64
		for e := range count {
			wg.Go(func() {
				began := time.Now()
				method, body := call(2 + e)
				if err := p.ok(method, body); err != nil {
					t.Errorf("%s: %v", what, err)
				}
				for took := int64(time.Since(began)); ; {
					if old := longest.Load(); took <= old || longest.CompareAndSwap(old, took) {
						return
					}
				}
			})
		}
		wg.Wait()
		t.Logf("%d × %s at once: %v, the longest %v", count, what, time.Since(began).Round(time.Millisecond), time.Duration(longest.Load()).Round(time.Millisecond))
	}
	all("CreateEndpoint", 200, func(e int) (string, any) { return "CreateEndpoint", createEndpoint(1, e) })
	all("Join", 30, func(e int) (string, any) { return "Join", join(1, e) })
	all("EndpointOperInfo", 200, func(e int) (string, any) { return "EndpointOperInfo", ids(1, e) })
	all("any of five", 200, func(e int) (string, any) {
		switch e % 5 {
		case 0:
			return "Leave", ids(1, e)
		case 1:
			return "DeleteEndpoint", ids(1, e)
		case 2:
			return "CreateEndpoint", createEndpoint(1, e)
		case 3:
			return "GetCapabilities", nil
		default:
			return "DeleteNetwork", ids(90+e, 0) // nobody's
		}
	})
	all("DeleteEndpoint", 200, func(e int) (string, any) { return "DeleteEndpoint", ids(1, e) })
}

// givenUpCalls makes calls whose caller goes away in the middle; the same call again
// succeeds.
func givenUpCalls(t *testing.T, p *process, random *rand.Rand) {
	t.Helper()
	for e := 2; e < 12; e++ {
		for _, c := range []struct {
			method string
			body   any
		}{
			{"CreateNetwork", createNetwork(2)}, {"CreateEndpoint", createEndpoint(1, e)}, {"Join", join(1, e)},
			{"Leave", ids(1, e)}, {"DeleteEndpoint", ids(1, e)}, {"DeleteNetwork", ids(2, 0)},
		} {
			for range 2 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(40))*time.Millisecond)
				_, _ = p.send(ctx, c.method, c.body)
				cancel()
			}
			if err := p.ok(c.method, c.body); err != nil {
				t.Errorf("again, after its callers went away: %v", err)
			}
		}
	}
}
