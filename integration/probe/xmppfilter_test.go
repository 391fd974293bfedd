package main

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
)

const (
	contactStanza = `<message to="a@x/1" from="b@x/1"><evio xmlns="urn:evio:1">aGVsbG8=</evio><no-store xmlns="urn:xmpp:hints"/></message>`
	chat          = `<message><body>hello</body></message>`
	features      = `<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-1-PLUS</mechanism></mechanisms></stream:features>`
)

// Wherever the bytes are cut, what comes out is the same.
func TestFilterByteByByte(t *testing.T) {
	in := "<?xml version='1.0'?><stream:stream>" + features + chat + contactStanza + "<presence/>" + contactStanza + "<iq id='1'/>"
	want := strings.NewReplacer(
		contactStanza, "<seen/>",
		`<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-1-PLUS</mechanism></mechanisms>`, onlyPlain,
	).Replace(in)
	for size := 1; size <= len(in); size++ {
		f := &xmppFilter{message: func(stanza []byte) [][]byte {
			if string(stanza) != contactStanza {
				t.Errorf("a message %q", stanza)
			}
			return [][]byte{[]byte("<seen/>")}
		}}
		var out []byte
		for rest := []byte(in); len(rest) > 0; {
			n := min(size, len(rest))
			out = append(out, f.feed(rest[:n])...)
			rest = rest[n:]
		}
		if string(out) != want {
			t.Fatalf("in pieces of %d: %q, want %q", size, out, want)
		}
	}
}

func TestAlterPayload(t *testing.T) {
	got, ok := alterPayload([]byte(contactStanza), 1)
	if want := strings.Replace(contactStanza, "aGVsbG8=", "aGRsbG8=", 1); !ok || string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, c := range []struct {
		stanza string
		offset int
	}{{contactStanza, 5}, {chat, 0}, {strings.Replace(contactStanza, "=<", "<", 1), 0}} {
		if got, ok := alterPayload([]byte(c.stanza), c.offset); ok || bytes.Equal(got, []byte(c.stanza)) {
			t.Errorf("%q at %d was altered to %q", c.stanza, c.offset, got)
		}
	}
}

func TestNewAttempt(t *testing.T) {
	envelope := func(attempt byte) string {
		b := make([]byte, 147)
		b[40] = attempt
		return `<message><evio xmlns="urn:evio:1">` + base64.StdEncoding.EncodeToString(b) + `</evio></message>`
	}
	if got, ok := newAttempt([]byte(envelope(5)), 7); !ok || string(got) != envelope(12) {
		t.Errorf("got %q, want %q", got, envelope(12))
	}
	for _, stanza := range []string{contactStanza, chat} {
		if got, ok := newAttempt([]byte(stanza), 1); ok {
			t.Errorf("%q became %q", stanza, got)
		}
	}
}
