package config

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const whole = `{
  "signalling": [{
    "server": "xmpp.example.org:5222", "tls": "starttls", "jid": "site-a@example.org",
    "password_file": "/etc/evio/password", "ca_file": "/etc/evio/ca.pem",
    "certificate_file": "/etc/evio/client.pem", "key_file": "/etc/evio/client.key",
    "overlays": {"*": "roster", "blue": "group:blue engines", "green": "room:green@rooms.example.org"}
  }],
  "turn": [
    {"uri": "turn:turn.example.org:3478?transport=tcp", "username": "evio", "password_file": "/etc/evio/turn"},
    {"uri": "turns:[2001:db8::1]:5349", "secret_file": "/etc/evio/turn.secret", "ca_file": "/etc/evio/ca.pem"}
  ],
  "secrets": {"blue": "/etc/evio/blue.secret"},
  "claims": {"site-a@example.org": ["10.33.1.0/24", "fd00:33:0:0:1::/80"], "Site-B@example.org": ["10.33.2.7/32"]},
  "membership_max_age": 86400,
  "rekey_seconds": 20,
  "stun": ["stun.example.org:3478"],
  "udp_port": 0,
  "offload": {"tap": "off", "udp_send": "auto", "udp_receive": "off"},
  "log": {"level": "debug", "format": "json"},
  "ovs": {"run_dir": "none"},
  "docker": {"socket": "/run/d/docker.sock", "plugin_dir": "/run/d/plugins"},
  "state_dir": "/var/lib/evio-2",
  "run_dir": "/run/evio-2"
}`

func TestDecodeWhole(t *testing.T) {
	got, faults := Decode([]byte(whole))
	if len(faults) != 0 {
		t.Fatal(faults)
	}
	want := File{
		Signalling: []Service{{
			Server: "xmpp.example.org:5222", TLS: StartTLS, SASL: SASLBest, JID: "site-a@example.org",
			PasswordFile: "/etc/evio/password", CAFile: "/etc/evio/ca.pem",
			CertificateFile: "/etc/evio/client.pem", KeyFile: "/etc/evio/client.key",
			Overlays: map[string]string{AnyOverlay: Roster, "blue": "group:blue engines", "green": "room:green@rooms.example.org"},
		}},
		TURN: []TURN{
			{URI: "turn:turn.example.org:3478?transport=tcp", Username: "evio", PasswordFile: "/etc/evio/turn"},
			{URI: "turns:[2001:db8::1]:5349", SecretFile: "/etc/evio/turn.secret", CAFile: "/etc/evio/ca.pem"},
		},
		Secrets: map[string]string{"blue": "/etc/evio/blue.secret"}, MembershipMaxAge: 86400, RekeySeconds: 20,
		Claims: map[string][]string{"site-a@example.org": {"10.33.1.0/24", "fd00:33:0:0:1::/80"}, "Site-B@example.org": {"10.33.2.7/32"}},
		STUN:   []string{"stun.example.org:3478"}, UDPPort: 0,
		Offload: Offload{TAP: Off, UDPSend: Auto, UDPReceive: Off, Merge: Auto},
		Log:     Log{Level: "debug", Format: "json"}, OVS: OVS{RunDir: None},
		Docker:   Docker{Socket: "/run/d/docker.sock", PluginDir: "/run/d/plugins"},
		StateDir: "/var/lib/evio-2", RunDir: "/run/evio-2",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	reserved := map[string][]netip.Prefix{
		"site-a@example.org": {netip.MustParsePrefix("10.33.1.0/24"), netip.MustParsePrefix("fd00:33:0:0:1::/80")},
		"site-b@example.org": {netip.MustParsePrefix("10.33.2.7/32")},
	}
	if diff := cmp.Diff(reserved, got.Reserved(), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if got.OVS.HostRunDir() != "" {
		t.Errorf("HostRunDir %q for none", got.OVS.HostRunDir())
	}
}

func TestDecodeEmptyIsDefault(t *testing.T) {
	got, faults := Decode([]byte(`{}`))
	if len(faults) != 0 {
		t.Fatal(faults)
	}
	if diff := cmp.Diff(Default(), got); diff != "" {
		t.Error(diff)
	}
}

func TestServiceDefaults(t *testing.T) {
	got, faults := Decode([]byte(`{"signalling": [{"jid": "a@b", "password_file": "/etc/p", "overlays": {"z": "roster", "a": "roster"}}]}`))
	if len(faults) != 0 {
		t.Fatal(faults)
	}
	s := got.Signalling[0]
	if s.TLS != StartTLS || s.Server != "" || s.CAFile != "" {
		t.Errorf("got %+v", s)
	}
	if diff := cmp.Diff([]string{"a", "z"}, s.OverlayNames()); diff != "" {
		t.Error(diff)
	}
}

// TestFaults: each fault is found, with its place and what to do, and never stops
// the next from being found.
func TestFaults(t *testing.T) {
	service := func(s string) string { return `{"signalling": [` + s + `]}` }
	turn := func(s string) string { return `{"turn": [` + s + `]}` }
	const login = `"username": "evio", "password_file": "/etc/p"`
	const ok = `"jid": "a@b", "password_file": "/etc/p", "overlays": {"*": "roster"}`
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"site", `{"site": "a b"}`, []string{`site: this is no name of a site: use letters, digits and, between them, '-'`}},
		{"long site", `{"site": "` + strings.Repeat("x", 64) + `"}`, []string{"site: this is no name of a site: it has 64 characters; use 63 at most"}},
		{"syntax", "{\n  \"stun\": [,]\n}", []string{`line 2, column 12: invalid character ',' looking for beginning of value; correct the JSON there`}},
		{"cut", `{"stun": [`, []string{"line 1, column 10: unexpected end of JSON input; correct the JSON there"}},
		{"nothing", ``, []string{"line 1, column 1: unexpected end of JSON input"}},
		{"two documents", `{} {}`, []string{"line 1, column 4: invalid character '{' after top-level value"}},
		{"no object", `[]`, []string{"it must be an object in {}"}},
		{"null", `null`, []string{"null is no value; give an object in {}, or leave the setting out"}},
		{"unknown", `{"stunn": {"a": [1, {"b": 2}]}, "log": {"lvl": "info"}}`, []string{
			"stunn: there is no such setting: did you mean stun? known here are claims, docker, log, membership_max_age, offload, ovs, rekey_seconds, run_dir, secrets, signalling, site, state_dir, stun, turn, udp_port",
			"log.lvl: there is no such setting: did you mean level? known here are format, level",
		}},
		{"another case", `{"STUN": []}`, []string{"STUN: there is no such setting"}},
		{"twice", `{"udp_port": 1, "udp_port": 2}`, []string{"udp_port: it is there twice; keep one"}},
		{"kinds", `{"udp_port": "1", "stun": "a:1", "log": [], "state_dir": 1, "ovs": {"run_dir": null}}`, []string{
			"udp_port: it must be a whole number without quotes",
			"stun: it must be a list in []",
			"log: it must be an object in {}",
			"state_dir: it must be a text in quotes",
			"ovs.run_dir: null is no value; give a text in quotes, or leave the setting out",
		}},
		{"fraction", `{"udp_port": 1.5}`, []string{"udp_port: it must be a whole number without quotes"}},
		{"port", `{"udp_port": 65536}`, []string{"udp_port: this is no UDP port; give one from 1 to 65535, or 0 for any free one"}},
		{"stun", `{"stun": ["a", "a:0", "a:b", ":1"]}`, []string{
			`stun[0]: "a" is no host:port; write it like stun.example.org:3478`, `stun[1]: "a:0"`, `stun[2]: "a:b"`, `stun[3]: ":1"`,
		}},
		{"too many stun", `{"stun": ["a:1","a:1","a:1","a:1","a:1","a:1","a:1","a:1","a:1"]}`, []string{"stun: there are 9 servers; keep 4 at most"}},
		{"log", `{"log": {"level": "loud", "format": "xml"}}`, []string{
			`log.level: "loud" is not known; give one of trace, debug, info, warn, error`,
			`log.format: "xml" is not known; give one of text, json`,
		}},
		{"paths", `{"state_dir": "evio", "run_dir": "", "ovs": {"run_dir": "x"}, "docker": {"socket": "unix:///run/docker.sock"}}`, []string{
			`ovs.run_dir: "x" is no full path; give one of the host that begins with /`, `docker.socket: "unix:///run/docker.sock" is no full path`,
			`state_dir: "evio"`, `run_dir: ""`,
		}},
		{"empty service", service(`{}`), []string{
			`signalling[0].jid: "" is no account; write it like site-a@example.org, without a resource`,
			"signalling[0].password_file: it is missing; put the password alone into a file of the host, mode 0600, and give its path",
			`signalling[0].overlays: it is missing; name the overlays of this service, such as {"*": "roster"} for all`,
		}},
		{"password in the file", service(`{` + ok + `, "password": "secret"}`), []string{"signalling[0].password: there is no such setting: did you mean password_file? known here are ca_file, certificate_file, jid, key_file, overlays, password_file, sasl, server, tls"}},
		{"tls", service(`{` + ok + `, "tls": "none"}`), []string{`signalling[0].tls: "none" is not known; give one of starttls, direct`}},
		{"membership", service(`{"jid": "a@b", "password_file": "/etc/p", "overlays": {"u": "group: ", "v": "rooster", "w": "room:blue", "x": "room:blue@rooms/me", "y": "group:a b", "z": "room:b@c"}}`), []string{
			`signalling[0].overlays["u"]: "group: " names no group; write the name of a group of the roster behind group:`,
			`signalling[0].overlays["v"]: "rooster" is not known; give roster, group:NAME for a group of the roster, or room:ROOM@SERVICE for the members of a room`,
			`signalling[0].overlays["w"]: "room:blue" names no room; write it like room:blue@rooms.example.org`,
			`signalling[0].overlays["x"]: "room:blue@rooms/me" names no room`,
		}},
		{"certificate alone", service(`{"jid": "a@b", "certificate_file": "/etc/c", "overlays": {"*": "roster"}}`), []string{
			"signalling[0].key_file: it is missing; give the private key of certificate_file, or neither of the two",
		}},
		{"key alone", service(`{"jid": "a@b", "key_file": "k", "overlays": {"*": "roster"}}`), []string{
			"signalling[0].certificate_file: it is missing; give the client certificate that key_file belongs to, or neither of the two",
			`signalling[0].key_file: this is no full path`,
		}},
		{"certificate in place of a password", service(`{"jid": "a@b", "certificate_file": "/etc/c", "key_file": "/etc/k", "overlays": {"*": "roster"}}`), nil},
		{"turn URI", turn(`{"uri": "http://a:1", ` + login + `}, {"uri": "turns:a:1?transport=udp", ` + login + `}, {"uri": "turn:a:1?transport=sctp", ` + login + `}, {"uri": "turn:a:1?x=y", ` + login + `}`), []string{
			`turn[0].uri: TURN URI "http://a:1": begin it with turn: or turns:; write it like turn:turn.example.org:3478?transport=udp, or turns:turn.example.org:5349 for TLS`,
			`turn[1].uri: TURN URI "turns:a:1?transport=udp"`, `turn[2].uri: TURN URI "turn:a:1?transport=sctp"`, `turn[3].uri: TURN URI "turn:a:1?x=y"`,
		}},
		{"turn host", turn(`{"uri": "turn:", ` + login + `}, {"uri": "turn:a:b", ` + login + `}, {"uri": "turn:a@b:1", ` + login + `}`), []string{
			`turn[0].uri: TURN URI "turn:"`, `turn[1].uri: TURN URI "turn:a:b"`, `turn[2].uri: TURN URI "turn:a@b:1"`,
		}},
		{"turn account", turn(`{"uri": "turn:a:1"}, {"uri": "turn:a:1", ` + login + `, "secret_file": "/etc/s"}, {"uri": "turn:a:1", "username": "a\u0000", "password_file": "p", "ca_file": "/etc/ca"}`), []string{
			"turn[0].password_file: it is missing; give password_file, or secret_file where the server shares a secret with its users",
			"turn[0].username: it is missing; give the account that the password in password_file belongs to",
			"turn[1].secret_file: password_file is given too; keep the one that the server asks for",
			"turn[2].username: this is no user name; use up to 256 bytes without control characters",
			`turn[2].password_file: this is no full path`,
			"turn[2].ca_file: this server is not reached by TLS; write its uri with turns: or leave ca_file out",
		}},
		{"too many turn", turn(`{"uri": "turn:a:1", ` + login + `}` + strings.Repeat(`, {"uri": "turn:a:1", `+login+`}`, 4)), []string{"turn: there are 5 servers; keep 4 at most"}},
		{"secrets", `{"secrets": {"*": "/etc/s", "blue": "s"}}`, []string{
			`secrets["*"]: this is no name of an overlay; use up to 64 letters, digits, '.', '_' and '-'`,
			`secrets["blue"]: this is no full path`,
		}},
		{"claims", `{"claims": {"a": ["10.0.0.0/8"], "b@c": [], "d@e": ["10.1", "10.1.0.0/33", "10.2.0.1/24", "::ffff:10.0.0.0/104", "10.3.0.0/24", "10.3.0.0/25"], "f@g": ["10.3.0.128/25"], "F@g": ["fd00::/64"], "h@i": ["fd00::1/128"]}}`, []string{
			`claims["a"]: "a" is no account`,
			`claims["b@c"]: it has no prefix; give some`,
			`claims["d@e"][0]: "10.1" is no prefix; write it like 10.33.1.0/24`,
			`claims["d@e"][1]: "10.1.0.0/33" is no prefix`,
			`claims["d@e"][2]: "10.2.0.1/24" is an address within the prefix; write 10.2.0.0/24, or the address with /32`,
			`claims["d@e"][3]: "::ffff:10.0.0.0/104" is an IPv4 address written as an IPv6 one`,
			`claims["d@e"][4]: 10.3.0.0/24 has addresses in common with 10.0.0.0/8 of a; give each address to one account`,
			`claims["d@e"][5]: 10.3.0.0/25 has addresses in common with 10.0.0.0/8 of a`,
			`claims["f@g"]: this is the account "F@g" again`,
			`claims["h@i"][0]: fd00::1/128 has addresses in common with fd00::/64 of F@g`,
		}},
		{"rekey", `{"rekey_seconds": 9}`, []string{"rekey_seconds: give a number of seconds from 10 to 86400"}},
		{"rekey too late", `{"rekey_seconds": 86401}`, []string{"rekey_seconds: give a number"}},
		{"overlay name", service(`{"jid": "a@b", "password_file": "/etc/p", "overlays": {"": "roster", "a b": "roster", "ä": "roster", "b-1_2.C": "roster"}}`), []string{
			`signalling[0].overlays[""]: this is no name of an overlay; use up to 64 letters, digits, '.', '_' and '-', or * for all`,
			`signalling[0].overlays["a b"]: this is no`, `signalling[0].overlays["ä"]: this is no`,
		}},
		{"overlay twice", service(`{"jid": "a@b", "password_file": "/etc/p", "overlays": {"x": "roster", "x": "roster"}}`), []string{`signalling[0].overlays["x"]: it is there twice; keep one`}},
		{"resource", service(`{"jid": "a@b/c", "password_file": "/etc/p", "overlays": {"*": "roster"}}`), []string{`signalling[0].jid: "a@b/c" is no account`}},
		{"account twice", service(`{` + ok + `}, {` + ok + `}`), []string{`signalling[1].jid: "a@b" is the account of signalling[0] too`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, faults := Decode([]byte(c.in))
			if len(faults) != len(c.want) {
				t.Fatalf("%d faults, want %d: %v", len(faults), len(c.want), faults)
			}
			for i, w := range c.want {
				if !strings.HasPrefix(faults[i].Error(), w) {
					t.Errorf("fault %d is %q, want %q", i, faults[i], w)
				}
			}
		})
	}
}

// TestFaultsTouchOnlyTheirs: the settings that are right count, the others have
// their defaults, and services are taken all or none.
func TestFaultsTouchOnlyTheirs(t *testing.T) {
	got, faults := Decode([]byte(`{
		"signalling": [
			{"jid": "a@b", "password_file": "/etc/p", "overlays": {"*": "roster"}},
			{"jid": "c@d", "password_file": "/etc/p", "overlays": {"*": "rooster"}}
		],
		"udp_port": 70000, "state_dir": "/var/lib/x", "log": {"level": "loud", "format": "json"}
	}`))
	if len(faults) != 3 {
		t.Fatalf("faults: %v", faults)
	}
	want := Default()
	want.StateDir = "/var/lib/x"
	want.Log.Format = "json"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTooLarge(t *testing.T) {
	_, faults := Decode([]byte(`{"state_dir": "/` + strings.Repeat("x", maxSize) + `"}`))
	if len(faults) != 1 || !strings.Contains(faults[0].Text, "more than 1048576 bytes") {
		t.Error(faults)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{whole, `{}`, `null`, `[]`, `{"stun": null}`, `{"signalling": [{"overlays": {"\u0000": "roster"}}]}`, `{"UDP_PORT": 1}`, `{"udp_port": 1e9}`,
		`{"turn": [{"uri": "turns:a:1?transport=tcp", "secret_file": "/s"}, {"uri": "turn:?", "username": ""}], "secrets": {"a": "/x"}}`,
		`{"signalling": [{"jid": "a@b", "certificate_file": "/c", "key_file": "/k", "overlays": {"a": "group:", "b": "room:x@y"}}]}`, `{"rekey_seconds": -1}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, faults := Decode(b)
		if again := got.Validate(); len(again) != 0 {
			t.Fatalf("the result has faults: %v", again)
		}
		for _, x := range faults {
			if x.Text == "" {
				t.Fatalf("a fault without a text at %q", x.Path)
			}
		}
		if len(faults) != 0 {
			return
		}
		text, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if got.Signalling == nil || got.STUN == nil || got.TURN == nil || got.Secrets == nil {
			return // null is how Go writes an absent list, and is refused
		}
		same, faults := Decode(text)
		if len(faults) != 0 {
			t.Fatalf("what was written is refused: %v", faults)
		}
		if diff := cmp.Diff(got, same); diff != "" {
			t.Fatal(diff)
		}
	})
}
