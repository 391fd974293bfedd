package main

import (
	"bytes"
	"encoding/base64"
	"regexp"
)

// xmppFilter sees the stanzas of a server on their way to a client and changes them. Bytes of one
// that is not complete wait for the rest.
type xmppFilter struct {
	waiting []byte
	message func(stanza []byte) [][]byte // what is sent in place of a message with a payload of evio
}

// Elements that the filter looks for, and what ends them.
var watched = []struct{ open, end []byte }{
	{[]byte("<mechanisms"), []byte("</mechanisms>")},
	{[]byte("<message"), []byte("</message>")},
}

// feed returns what is to be passed on now.
func (f *xmppFilter) feed(b []byte) []byte {
	f.waiting = append(f.waiting, b...)
	var out []byte
	for {
		at, which := -1, 0
		for i, w := range watched {
			if k := bytes.Index(f.waiting, w.open); k >= 0 && (at < 0 || k < at) {
				at, which = k, i
			}
		}
		if at < 0 {
			keep := f.begun()
			out = append(out, f.waiting[:len(f.waiting)-keep]...)
			f.waiting = bytes.Clone(f.waiting[len(f.waiting)-keep:])
			return out
		}
		out = append(out, f.waiting[:at]...)
		f.waiting = f.waiting[at:]
		end := bytes.Index(f.waiting, watched[which].end)
		if end < 0 {
			return out
		}
		end += len(watched[which].end)
		element := bytes.Clone(f.waiting[:end])
		f.waiting = f.waiting[end:]
		switch {
		case which == 0:
			out = append(out, onlyPlain...)
		case payloadElement.Match(element):
			out = append(out, bytes.Join(f.message(element), nil)...)
		default:
			out = append(out, element...)
		}
	}
}

// begun is how many of the last bytes may be the beginning of a watched element.
func (f *xmppFilter) begun() int {
	for n := min(len(f.waiting), len("<mechanisms")-1); n > 0; n-- {
		for _, w := range watched {
			if bytes.HasPrefix(w.open, f.waiting[len(f.waiting)-n:]) {
				return n
			}
		}
	}
	return 0
}

// onlyPlain is what a server offers that wants the password itself. The other mechanisms prove
// that nobody stands between, or that the server knows the password.
const onlyPlain = "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>"

var payloadElement = regexp.MustCompile(`(<evio [^>]*>)([A-Za-z0-9+/=\s]+)(</evio>)`)

// alterPayload changes the lowest bit of one byte of a message's payload; false if there is none.
func alterPayload(stanza []byte, offset int) ([]byte, bool) {
	m := payloadElement.FindSubmatchIndex(stanza)
	if m == nil {
		return nil, false
	}
	payload, err := base64.StdEncoding.DecodeString(string(stanza[m[4]:m[5]]))
	if err != nil || offset >= len(payload) {
		return nil, false
	}
	payload[offset] ^= 1
	out := bytes.Clone(stanza[:m[4]])
	out = base64.StdEncoding.AppendEncode(out, payload)
	return append(out, stanza[m[5]:]...), true
}
