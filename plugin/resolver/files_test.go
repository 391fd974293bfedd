package resolver

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// host makes a host's root directory of files and of links, whose content begins with ->.
func host(t *testing.T, files map[string]string) *Resolver {
	t.Helper()
	r := New(t.TempDir())
	for name, content := range files {
		put(t, r, name, content)
	}
	return r
}

// put writes one of the host's files beside its place and renames it over what is there.
func put(t *testing.T, r *Resolver, name, content string) {
	t.Helper()
	at := filepath.Join(r.root, name)
	if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
		t.Fatal(err)
	}
	var err error
	if target, isLink := strings.CutPrefix(content, "-> "); isLink {
		err = os.Symlink(target, at+".new")
	} else {
		err = os.WriteFile(at+".new", []byte(content), 0o600)
	}
	if err == nil {
		err = os.Rename(at+".new", at)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestLinksLeadToPlacesOfTheHost(t *testing.T) {
	const there = "nameserver 192.0.2.1\n"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string // "": there is no file
	}{
		{"file", map[string]string{resolvConf: there}, there},
		{"relative link", map[string]string{resolvConf: "-> ../run/systemd/resolve/stub-resolv.conf", "/run/systemd/resolve/stub-resolv.conf": there}, there},
		{"absolute link", map[string]string{resolvConf: "-> /run/NetworkManager/resolv.conf", "/run/NetworkManager/resolv.conf": there}, there},
		{"/var/run that is not mounted", map[string]string{resolvConf: "-> /var/run/connman/resolv.conf", "/run/connman/resolv.conf": there}, there},
		{"/var/run that is a link", map[string]string{resolvConf: "-> /var/run/resolv.conf", "/var/run": "-> /run", "/run/resolv.conf": there}, there},
		{"links in a row", map[string]string{resolvConf: "-> resolvconf/run/resolv.conf", "/etc/resolvconf/run": "-> /run/resolvconf", "/run/resolvconf/resolv.conf": there}, there},
		{"link of a folder to nowhere", map[string]string{resolvConf: "-> /run/resolvconf/resolv.conf"}, ""},
		{"link to itself", map[string]string{resolvConf: "-> resolv.conf"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := host(t, c.files)
			f, err := r.open(resolvConf)
			if err != nil {
				if c.want != "" {
					t.Fatal(err)
				}
				return
			}
			defer f.Close() //nolint:errcheck // of a test
			got, err := io.ReadAll(f)
			if err != nil {
				t.Fatal(err)
			}
			own, _ := os.ReadFile(resolvConf) // of this machine, in place of what is nowhere
			if c.want == "" {
				c.want = string(own)
			}
			if string(got) != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestHostsFile(t *testing.T) {
	const file = "127.0.0.1 localhost\n::1\tlocalhost ip6-localhost\n\n# 192.0.2.9 xmpp.example\n" +
		"192.0.2.1 xmpp.example xmpp # the server\n2001:db8::1 XMPP.Example.\n192.0.2.1 xmpp.example\n" +
		"192.0.2.999 bad.example\nbad.example\n192.0.2.3\n  192.0.2.4   indented.example\r\n::ffff:192.0.2.5 mapped.example\nfe80::1%eth0 zone.example"
	for name, want := range map[string][]string{
		"localhost":        {"127.0.0.1", "::1"},
		"xmpp.example":     {"192.0.2.1", "2001:db8::1"},
		"xmpp.example.":    {"192.0.2.1", "2001:db8::1"},
		"XMPP":             {"192.0.2.1"},
		"the":              nil,
		"bad.example":      nil,
		"192.0.2.3":        nil,
		"indented.example": {"192.0.2.4"},
		"mapped.example":   {"192.0.2.5"},
		"zone.example":     {"fe80::1%eth0"},
		"example":          nil,
	} {
		var got []string
		for _, a := range findHost(strings.NewReader(file), name) {
			got = append(got, a.String())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

func TestConfiguration(t *testing.T) {
	type want struct {
		Servers, Names    []string
		Timeout, Attempts int
	}
	for _, c := range []struct {
		name, file string
		want       want
	}{
		{"empty", "", want{[]string{"127.0.0.1:53"}, []string{"a.b."}, 5, 2}},
		{"servers", "nameserver 192.0.2.1\nnameserver 2001:db8::1\n", want{[]string{"192.0.2.1:53", "[2001:db8::1]:53"}, []string{"a.b."}, 5, 2}},
		{"zone", "nameserver fe80::1%eth0\n", want{[]string{"[fe80::1%eth0]:53"}, []string{"a.b."}, 5, 2}},
		{"names and nonsense are no servers", "nameserver dns.example\nnameserver\nnameserver 192.0.2.1#53\n;nameserver 192.0.2.2\n# nameserver 192.0.2.3\nnameserver 192.0.2.4\n",
			want{[]string{"192.0.2.4:53"}, []string{"a.b."}, 5, 2}},
		{"three at most", "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n",
			want{[]string{"192.0.2.1:53", "192.0.2.2:53", "192.0.2.3:53"}, []string{"a.b."}, 5, 2}},
		{"search", "search lan. corp.example\n", want{[]string{"127.0.0.1:53"}, []string{"a.b.", "a.b.lan.", "a.b.corp.example."}, 5, 2}},
		{"domain, and the last one counts", "search x\ndomain lan\n", want{[]string{"127.0.0.1:53"}, []string{"a.b.", "a.b.lan."}, 5, 2}},
		{"ndots", "search lan\noptions ndots:3 edns0 trust-ad\n", want{[]string{"127.0.0.1:53"}, []string{"a.b.lan.", "a.b."}, 5, 2}},
		{"times", "options timeout:1 attempts:4\n", want{[]string{"127.0.0.1:53"}, []string{"a.b."}, 1, 4}},
		{"times without bounds", "options timeout:9999 attempts:9999\noptions ndots:x", want{[]string{"127.0.0.1:53"}, []string{"a.b."}, 30, 5}},
		{"CRLF", "nameserver 192.0.2.1\r\n", want{[]string{"192.0.2.1:53"}, []string{"a.b."}, 5, 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseConfiguration(strings.NewReader(c.file), "53")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, want{got.Servers, got.NameList("a.b"), got.Timeout, got.Attempts}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// FuzzHosts reads anything: every address that comes out stands in the file, on a line
// with the name.
func FuzzHosts(f *testing.F) {
	f.Add([]byte("192.0.2.1 a b # c\n::1 a\n"), "a")
	f.Add([]byte("\x00\xff 192.0.2.1"), "")
	f.Fuzz(func(t *testing.T, file []byte, name string) {
		found := findHost(strings.NewReader(string(file)), name)
		for _, a := range found {
			if !a.IsValid() {
				t.Error("an invalid address")
			}
		}
		if len(found) > 0 && !strings.Contains(strings.ToLower(string(file)), strings.ToLower(strings.TrimSuffix(name, "."))) && isASCII(name) {
			t.Errorf("%q is not in the file and has %v", name, found)
		}
	})
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 127 })
}

// FuzzConfiguration reads anything: what comes out can be used.
func FuzzConfiguration(f *testing.F) {
	f.Add([]byte("nameserver 192.0.2.1\nsearch a b\noptions ndots:2 timeout:3 attempts:1\n"))
	f.Add([]byte("options timeout:-1 attempts:0\nnameserver fe80::1%lo\nsearch .. \x00"))
	f.Fuzz(func(t *testing.T, file []byte) {
		c, err := parseConfiguration(strings.NewReader(string(file)), "53")
		if err != nil {
			return
		}
		if n := len(c.Servers); n == 0 || n > maxServers {
			t.Errorf("%d servers", n)
		}
		if c.Timeout < 1 || c.Timeout > maxTimeout || c.Attempts < 1 || c.Attempts > maxAttempts {
			t.Errorf("timeout %d, attempts %d", c.Timeout, c.Attempts)
		}
		for _, name := range c.NameList("a.example") {
			if !isName(name) {
				t.Errorf("%q would be asked for", name)
			}
		}
	})
}
