package status

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// book keeps what was asked of it.
type book struct {
	list  []Peer
	fault error
	asked []string
}

func (b *book) Peers() ([]Peer, error) { return b.list, b.fault }

func (b *book) Accept(jid, identity string) error {
	b.asked = append(b.asked, "accept "+jid+" "+identity)
	return b.fault
}

func (b *book) Forget(jid string) error {
	b.asked = append(b.asked, "forget "+jid)
	return b.fault
}

// offered is the identity that is accepted.
const offered = "0123456789abcdef0123456789abcdef"

func none(context.Context) Document { return Document{} }

func TestPeers(t *testing.T) {
	seen := time.Date(2026, 11, 21, 1, 2, 3, 0, time.UTC)
	b := &book{list: []Peer{
		{JID: "a@example.org", Identity: "00ff", Since: seen},
		{JID: "b@example.org", Identity: "01", Since: seen, Offered: "02", OfferedSince: seen},
	}}
	sock := serveBoth(t, none, b)
	got, err := FetchPeers(t.Context(), sock)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b.list, got); diff != "" {
		t.Error(diff)
	}
	if err := AcceptPeer(t.Context(), sock, "b@example.org", offered); err != nil {
		t.Error(err)
	}
	if err := ForgetPeer(t.Context(), sock, "a@example.org"); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"accept b@example.org " + offered, "forget a@example.org"}, b.asked); diff != "" {
		t.Error(diff)
	}
	b.fault = errors.New("no other identity was refused for b@example.org")
	_, err = FetchPeers(t.Context(), sock)
	errAccept := AcceptPeer(t.Context(), sock, "b@example.org", offered)
	for _, err := range []error{err, errAccept, ForgetPeer(t.Context(), sock, "b@example.org")} {
		if err == nil || !strings.HasSuffix(err.Error(), ": "+b.fault.Error()) {
			t.Error(err)
		}
	}
}

// TestPeerRequests: what is no request changes nothing and is answered by a sentence.
func TestPeerRequests(t *testing.T) {
	b := &book{}
	sock := serveBoth(t, none, b)
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", sock)
		},
	}}
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		answer                   string
	}{
		{"an empty list", "GET", "/peers", "", http.StatusOK, "[]"},
		{"another method", "POST", "/peers", "", http.StatusMethodNotAllowed, ""},
		{"a method that changes nothing", "GET", "/peers/accept", "", http.StatusMethodNotAllowed, ""},
		{"another path", "POST", "/peers/remove", "", http.StatusNotFound, ""},
		{"no body", "POST", "/peers/accept", "", http.StatusBadRequest, `EOF: send {"jid": "site-b@example.org"}`},
		{"another field", "POST", "/peers/accept", `{"jids": "a@b"}`, http.StatusBadRequest, "unknown field"},
		{"two bodies", "POST", "/peers/forget", `{"jid": "a@b"} {}`, http.StatusBadRequest, "there is more behind it: send"},
		{"no account", "POST", "/peers/forget", `{"jid": "site-b"}`, http.StatusBadRequest, `"site-b" is no account: write it like site-b@example.org, without a resource`},
		{"a resource", "POST", "/peers/forget", `{"jid": "a@b/c"}`, http.StatusBadRequest, "without a resource"},
		{"no identity", "POST", "/peers/accept", `{"jid": "a@b", "identity": ""}`, http.StatusBadRequest, `"" is no identity: write the 32 digits that evio peers list prints`},
		{"any identity", "POST", "/peers/accept", `{"jid": "a@b"}`, http.StatusBadRequest, "which identity is accepted must be said: let the operator of that engine read out"},
		{"part of an identity", "POST", "/peers/accept", `{"jid": "a@b", "identity": "0123"}`, http.StatusBadRequest, `"0123" is no identity`},
		{"an identity to forget", "POST", "/peers/forget", `{"jid": "a@b", "identity": "` + offered + `"}`, http.StatusBadRequest, "send no identity"},
		{"too much", "POST", "/peers/accept", `{"jid": "` + strings.Repeat("a", maxRequest) + `@b"}`, http.StatusBadRequest, "too large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), c.method, "http://evio"+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if err := errors.Join(err, resp.Body.Close()); err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != c.status || !strings.Contains(string(body), c.answer) {
				t.Errorf("%s: %s", resp.Status, body)
			}
		})
	}
	if len(b.asked) != 0 {
		t.Errorf("asked %q", b.asked)
	}
}

func FuzzPeerRequest(f *testing.F) {
	for _, s := range []string{`{"jid": "a@b"}`, `{"jid": "a@b"}x`, `{"jid": ["a@b"]}`, `{"jid": "\u0000@b"}`, `{}`, ``, `null`, `{"jid": "a@b", "identity": "` + offered + `"}`, `{"jid": "a@b", "identity": "é"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		jid, identity, err := readPeerRequest(bytes.NewReader(body))
		if identity != "" && (err != nil || len(identity) != len(offered) || strings.ContainsFunc(identity, func(c rune) bool { return !strings.ContainsRune("0123456789abcdef", c) })) {
			t.Errorf("identity %q, %v", identity, err)
		}
		if err != nil && jid != "" || err == nil && (len(jid) > maxJID || !strings.Contains(jid, "@") || strings.ContainsAny(jid, "/ \n\x00")) {
			t.Errorf("%q, %v", jid, err)
		}
	})
}
