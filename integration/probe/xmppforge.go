package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"time"
)

// forgeTick is the time between two bursts of forged messages.
const forgeTick = 10 * time.Millisecond

// forge sends, for some seconds, so many messages a second that are like the oldest one, in
// its sender's name, except for the number of the attempt: each is news, and none is signed.
func (p *proxy) forge(r *http.Request) (any, error) {
	wanted, err := request[struct{ Rate, Seconds int }](r)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	down, stanza := p.down, p.oldest
	p.mu.Unlock()
	if down == nil || stanza == nil {
		return nil, errNobody
	}
	forged := struct {
		Sent uint64 `json:"sent"`
	}{}
	ticks := wanted.Seconds * int(time.Second/forgeTick)
	perTick := wanted.Rate / int(time.Second/forgeTick)
	began := time.Now()
	for tick := range ticks {
		var burst []byte
		for range perTick {
			forged.Sent++
			one, ok := newAttempt(stanza, forged.Sent)
			if !ok {
				return nil, errNobody
			}
			burst = append(burst, one...)
		}
		if err := down.write(burst); err != nil {
			return nil, err
		}
		select {
		case <-r.Context().Done():
			return nil, r.Context().Err()
		case <-time.After(time.Until(began.Add(time.Duration(tick+1) * forgeTick))):
		}
	}
	return forged, nil
}

// newAttempt adds to the number of the attempt in an envelope (docs/PROTOCOL.md); false if
// the message has none.
func newAttempt(stanza []byte, more uint64) ([]byte, bool) {
	const attempt, end = 33, 41
	m := payloadElement.FindSubmatchIndex(stanza)
	if m == nil {
		return nil, false
	}
	payload, err := base64.StdEncoding.DecodeString(string(stanza[m[4]:m[5]]))
	if err != nil || len(payload) < end {
		return nil, false
	}
	binary.BigEndian.PutUint64(payload[attempt:end], binary.BigEndian.Uint64(payload[attempt:end])+more)
	out := bytes.Clone(stanza[:m[4]])
	out = base64.StdEncoding.AppendEncode(out, payload)
	return append(out, stanza[m[5]:]...), true
}
