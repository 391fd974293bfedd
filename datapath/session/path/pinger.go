package path

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"sync"
	"time"
)

// outstanding is how many probes wait for an answer: a search repeats up to 33 every
// 250 ms, and answers may take almost two seconds.
const outstanding = 256

// Pinger matches answers with probes and measures the round trip of the path. Its methods
// may be called by several goroutines at once: the session's owner sends probes, and the
// socket's reader receives the answers. The zero value is ready.
type Pinger struct {
	mu       sync.Mutex // guards all below
	sent     [outstanding]SentProbe
	next     int
	smoothed time.Duration
	public   netip.AddrPort
}

// SentProbe is a probe that was sent.
type SentProbe struct {
	token uint64
	At    time.Duration
	Route Route
	Done  bool // answered by its own route
}

// Request appends a request to dst that the caller is about to send by a route.
func (p *Pinger) Request(dst []byte, now time.Duration, by Route) []byte {
	var token [8]byte
	_, _ = rand.Read(token[:]) // never fails
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent[p.next] = SentProbe{token: binary.BigEndian.Uint64(token[:]), At: now, Route: by}
	p.next = (p.next + 1) % outstanding
	return append(append(dst, OpRequest), token[:]...)
}

// Answer takes an answer that has come by a route, and returns its probe. The probe is Done
// if an answer had come by the probe's own route before: the peer sends each answer by two
// routes. Answer returns false if no such probe is outstanding.
func (p *Pinger) Answer(body []byte, by Route) (SentProbe, bool) {
	if len(body) != AnswerSize {
		return SentProbe{}, false
	}
	token := binary.BigEndian.Uint64(body[1:])
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, sent := range p.sent {
		if sent.At == 0 || sent.token != token {
			continue
		}
		if sent.Route == by {
			p.sent[i].Done = true
		}
		return sent, true
	}
	return SentProbe{}, false
}

// Measure takes the round trip of an answer on the current path, and the own address that it
// names.
func (p *Pinger) Measure(body []byte, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.smoothed == 0 {
		p.smoothed = took
	} else {
		p.smoothed += (took - p.smoothed) / 8 // RFC 6298 section 2.3
	}
	addr := netip.AddrFrom16([16]byte(body[RequestSize:])).Unmap()
	p.public = netip.AddrPortFrom(addr, binary.BigEndian.Uint16(body[RequestSize+16:]))
}

// Restart forgets the old path. It begins with the round trip of the new one.
func (p *Pinger) Restart(took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.smoothed, p.public = took, netip.AddrPort{}
}

// RoundTrip returns the smoothed round trip of the path, 0 while it is unknown.
func (p *Pinger) RoundTrip() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.smoothed
}

// Observed returns the own address as the peer sees it, zero while it is unknown.
func (p *Pinger) Observed() netip.AddrPort {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.public
}
