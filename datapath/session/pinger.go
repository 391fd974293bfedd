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
//	request     {1, token (8)}
//	answer      {2, token (8), address (16) and port (2) the request came from}
//	goodbye     {3}
//	candidates  {4, sequence (4), candidates as in parameters}
//	received    {5, sequence (4)}
//	sized       {6, token (8), zeros}
//	size came   {7, token (8), zeros}, as long as the request
//	narrow      {8}
const (
	opRequest    = 1
	opAnswer     = 2
	opGoodbye    = 3
	opCandidates = 4
	opReceived   = 5
	opSized      = 6
	opSizeCame   = 7
	opNarrow     = 8

	requestSize  = 1 + 8
	answerSize   = requestSize + 16 + 2
	sequenceSize = 1 + 4
)

// outstanding is how many probes wait for an answer: a search repeats up to 33 each
// 250 ms, and answers may take almost two seconds.
const outstanding = 256

// pinger matches answers with probes and measures the round trip of the path. The
// owner sends, the reader receives.
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
	route route
	done  bool // answered by its own route
}

// request appends a request to dst that is sent by a route.
func (p *pinger) request(dst []byte, now time.Duration, by route) []byte {
	var token [8]byte
	_, _ = rand.Read(token[:]) // never fails
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent[p.next] = sentProbe{token: binary.BigEndian.Uint64(token[:]), at: now, route: by}
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

// appendPadded appends a request or an answer of size bytes that asks for a size.
func appendPadded(dst []byte, op byte, token uint64, size int) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, op), token)
	return append(dst, make([]byte, size-requestSize)...)
}

// answer takes an answer that has come by a route and returns its probe, done if it
// had come by the probe's own route before: answers go by two ways. It returns false
// for an answer to no probe of ours.
func (p *pinger) answer(body []byte, by route) (sentProbe, bool) {
	if len(body) != answerSize {
		return sentProbe{}, false
	}
	token := binary.BigEndian.Uint64(body[1:])
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, sent := range p.sent {
		if sent.at == 0 || sent.token != token {
			continue
		}
		if sent.route == by {
			p.sent[i].done = true
		}
		return sent, true
	}
	return sentProbe{}, false
}

// measure takes what an answer on the path tells.
func (p *pinger) measure(body []byte, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.smoothed == 0 {
		p.smoothed = took
	} else {
		p.smoothed += (took - p.smoothed) / 8 // RFC 6298 section 2.3
	}
	addr := netip.AddrFrom16([16]byte(body[requestSize:])).Unmap()
	p.public = netip.AddrPortFrom(addr, binary.BigEndian.Uint16(body[requestSize+16:]))
}

// restart begins with the round trip of another path.
func (p *pinger) restart(took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.smoothed, p.public = took, netip.AddrPort{}
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
