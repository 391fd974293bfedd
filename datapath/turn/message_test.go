package turn

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/stun/v4"
)

func TestParseURI(t *testing.T) {
	for _, c := range []struct {
		text string
		want URI
	}{
		{"turn:turn.example.org", URI{"turn.example.org", 3478, UDP}},
		{"turn:turn.example.org:3479?transport=udp", URI{"turn.example.org", 3479, UDP}},
		{"TURN:192.0.2.1?transport=TCP", URI{"192.0.2.1", 3478, TCP}},
		{"turns:turn.example.org", URI{"turn.example.org", 5349, TLS}},
		{"turns:[2001:db8::1]:443?transport=tcp", URI{"2001:db8::1", 443, TLS}},
		{"turn:[2001:DB8::1]", URI{"2001:db8::1", 3478, UDP}},
	} {
		got, err := ParseURI(c.text)
		if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", c.text, err, diff)
		}
		if again, err := ParseURI(got.String()); err != nil || again != got {
			t.Errorf("%s is read as %+v: %v", got, again, err)
		}
	}
	for text, advice := range map[string]string{
		"":                                 "begin it with turn: or turns:",
		"stun:x":                           "begin it with turn: or turns:",
		"turn.example.org":                 "begin it with turn: or turns:",
		"turn:":                            "write a host name or an address",
		"turn://turn.example.org":          "write a host name or an address",
		"turn:a b":                         "write a host name or an address",
		"turn:user@host":                   "write a host name or an address",
		"turn:host:":                       "write a port after the colon",
		"turn:[::1]:":                      "write a port after the colon",
		"turn:host:0":                      "write a port from 1 to 65535",
		"turn:host:65536":                  "write a port from 1 to 65535",
		"turn:host:+1":                     "write a port from 1 to 65535",
		"turn:2001:db8::1":                 "write an IPv6 address in brackets",
		"turn:[192.0.2.1]":                 "write an IPv6 address in brackets",
		"turn:[fe80::1%eth0]":              "write an IPv6 address in brackets",
		"turn:[::1":                        "write an IPv6 address in brackets",
		"turn:host?transport=sctp":         "write transport=udp or transport=tcp",
		"turn:host?":                       "write transport=udp or transport=tcp",
		"turns:host?transport=udp":         "TLS over UDP is not supported",
		"turn:" + strings.Repeat("x", 300): "at most 300",
	} {
		if _, err := ParseURI(text); err == nil || !strings.Contains(err.Error(), advice) {
			t.Errorf("%.40q: %v, want advice %q", text, err, advice)
		}
	}
}

func FuzzParseURI(f *testing.F) {
	for _, seed := range []string{"turn:turn.example.org", "turns:[2001:db8::1]:443?transport=tcp", "turn:host:0", "turn:[::1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		uri, err := ParseURI(text)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r") {
				t.Errorf("more than one line: %q", err)
			}
			return
		}
		if again, err := ParseURI(uri.String()); err != nil || again != uri {
			t.Errorf("%q is %+v and then %+v: %v", text, uri, again, err)
		}
	})
}

func TestValidate(t *testing.T) {
	right := Server{URI: "turn:host", Username: "evio", Password: text("x")}
	change := func(f func(*Server)) []Server { s := right; f(&s); return []Server{s} }
	for advice, servers := range map[string][]Server{
		"name at most 4":                      {right, right, right, right, right},
		"begin it with turn:":                 change(func(s *Server) { s.URI = "host" }),
		"give it either a password or a sec":  change(func(s *Server) { s.Secret = text("x") }),
		"turn:host:3478?transport=udp: give ": change(func(s *Server) { s.Password = nil }),
		"a password needs a username":         change(func(s *Server) { s.Username = "" }),
		"a CA serves TLS only":                change(func(s *Server) { s.RootCAs = trusted }),
	} {
		if _, err := New(Config{Servers: servers}); err == nil || !strings.Contains(err.Error(), advice) {
			t.Errorf("%v, want %q", err, advice)
		}
	}
}

func TestCredentialsOfASecret(t *testing.T) {
	expiry := time.Unix(1433895918, 0)
	username, password := fromSecret("my_secret", "user", expiry)
	if username != "1433895918:user" || len(password) != 28 {
		t.Errorf("got %s %s", username, password)
	}
	if username, _ := fromSecret("my_secret", "", expiry); username != "1433895918" {
		t.Errorf("got %s", username)
	}
}

func TestRead(t *testing.T) {
	from := netip.MustParseAddrPort("192.0.2.1:5000")
	message, err := appendIndication(nil, from, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	message[1] = 0x17 // Data instead of Send
	var m stun.Message
	if got := read(message, &m); got.kind != data || got.from != from || string(got.payload) != "hello" {
		t.Errorf("indication: %+v", got)
	}
	framed := appendChannel(nil, minChannel, []byte("hello"), true)
	if got := read(framed, &m); len(framed) != 12 || got.kind != channel || got.channel != minChannel || string(got.payload) != "hello" {
		t.Errorf("channel: %+v of %d bytes", got, len(framed))
	}
	for _, b := range [][]byte{nil, {0x40}, {0x40, 0, 0, 9, 1}, message[:30], []byte("GET / HTTP/1.1\r\n\r\n")} {
		if got := read(b, &m); got.kind != foreign {
			t.Errorf("%x is taken for %+v", b, got)
		}
	}
}

func FuzzRead(f *testing.F) {
	message, err := appendIndication(nil, netip.MustParseAddrPort("[2001:db8::1]:5000"), []byte("hello"))
	if err != nil {
		f.Fatal(err)
	}
	message[1] = 0x17
	f.Add(message)
	f.Add(appendChannel(nil, minChannel, []byte("hello"), true))
	f.Add(stun.MustBuild(stun.NewType(stun.MethodAllocate, stun.ClassSuccessResponse), lifetime(time.Minute),
		attribute(stun.AttrXORRelayedAddress, 0, 1, 1, 1, 1, 1, 1, 1)).Raw)
	f.Add(stun.MustBuild(stun.NewType(stun.MethodAllocate, stun.ClassErrorResponse), stun.CodeUnauthorized,
		stun.NewRealm("example"), stun.NewNonce("1")).Raw)
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		var m stun.Message
		got := read(b, &m)
		if !bytes.Equal(b, before) || len(got.payload) > len(b) {
			t.Errorf("%+v of %x", got, before)
		}
		if got.kind != response {
			return
		}
		var a signer
		if a.learn(&m) && len(a.challenge.Load().realm) == 0 {
			t.Error("a challenge without a realm")
		}
		if relayed, _, err := allocated(&m); err == nil && (!relayed.IsValid() || relayed.Port() == 0) {
			t.Errorf("relayed address %s", relayed)
		}
	})
}
