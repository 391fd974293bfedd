package session

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"sync"
	"time"
)

// Operations of probe records.
//
//	request  {1, token (8)}
//	answer   {2, token (8), address (16) and port (2) the request came from}
//	goodbye  {3}
const (
	opRequest = 1
	opAnswer  = 2
	opGoodbye = 3

	requestSize = 1 + 8
	answerSize  = requestSize + 16 + 2
)

// outstanding is how many probes wait for an answer: those of a burst and the
// ones before it.
const outstanding = 8

// pinger matches answers with probes and measures the round trip. The owner
// sends, the reader receives.
type pinger struct {
	mu       sync.Mutex // guards all below
	sent     [outstanding]sentProbe
	next     int
	smoothed time.Duration
	public   netip.AddrPort
}

type sentProbe struct {
	token uint64
	at    time.Duration
}

// request appends a request to dst.
func (p *pinger) request(dst []byte, now time.Duration) []byte {
	var token [8]byte
	_, _ = rand.Read(token[:]) // never fails
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent[p.next] = sentProbe{token: binary.BigEndian.Uint64(token[:]), at: now}
	p.next = (p.next + 1) % outstanding
	return append(append(dst, opRequest), token[:]...)
}

// appendAnswer appends the answer to a request that came from an address.
func appendAnswer(dst, request []byte, from netip.AddrPort) []byte {
	dst = append(dst, opAnswer)
	dst = append(dst, request[1:requestSize]...)
	addr := from.Addr().As16()
	dst = append(dst, addr[:]...)
	return binary.BigEndian.AppendUint16(dst, from.Port())
}

// answer takes an answer. It returns false for one to no probe of ours.
func (p *pinger) answer(body []byte, now time.Duration) bool {
	if len(body) != answerSize {
		return false
	}
	token := binary.BigEndian.Uint64(body[1:])
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.sent {
		if p.sent[i].at == 0 || p.sent[i].token != token {
			continue
		}
		took := now - p.sent[i].at
		p.sent[i] = sentProbe{}
		if p.smoothed == 0 {
			p.smoothed = took
		} else {
			p.smoothed += (took - p.smoothed) / 8 // RFC 6298 section 2.3
		}
		addr := netip.AddrFrom16([16]byte(body[requestSize:])).Unmap()
		p.public = netip.AddrPortFrom(addr, binary.BigEndian.Uint16(body[requestSize+16:]))
		return true
	}
	return false
}

func (p *pinger) roundTrip() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.smoothed
}

func (p *pinger) observed() netip.AddrPort {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.public
}
