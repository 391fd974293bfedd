package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// asked does a request on a control socket.
func asked(t *testing.T, socket, method, path, body string, out any) {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://unix"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close() //nolint:errcheck // only read from
	if out == nil {
		return
	}
	if err := json.NewDecoder(answer.Body).Decode(out); err != nil {
		t.Fatal(err)
	}
}

// A server with no proxy in front of it hears a password if it is sent one, and knows of a
// client that does not trust it.
func TestProxyWithoutServer(t *testing.T) {
	dir := t.TempDir()
	certificate, socket := filepath.Join(dir, "own.pem"), filepath.Join(dir, "control")
	server, _ := started(t, "xmpp-proxy", "-listen", "127.0.0.1:0", "-domain", "xmpp.example", "-certificate", certificate, "-control", socket)
	distrust := &tls.Dialer{Config: &tls.Config{ServerName: "xmpp.example", MinVersion: tls.VersionTLS12}}
	if conn, err := distrust.DialContext(t.Context(), "tcp", server.Listening); err == nil {
		t.Errorf("a connection %v", conn.Close())
	}
	roots, err := readRoots(certificate)
	if err != nil {
		t.Fatal(err)
	}
	trust := &tls.Dialer{Config: &tls.Config{ServerName: "xmpp.example", RootCAs: roots, MinVersion: tls.VersionTLS12}}
	conn, err := trust.DialContext(t.Context(), "tcp", server.Listening)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // the server may have been first
	for _, text := range []string{"<stream:stream>", "<auth mechanism='PLAIN'>secret</auth>"} {
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		if text != "<stream:stream>" {
			break
		}
		if n, err := conn.Read(make([]byte, 4096)); n == 0 || err != nil {
			t.Fatal(n, err)
		}
	}
	var seen proxySeen
	for !seen.Login {
		asked(t, socket, http.MethodGet, "/seen", "", &seen)
	}
	if seen.Connections != 2 || seen.Secured != 1 || seen.Error == "" || seen.Bytes == 0 {
		t.Errorf("%+v", seen)
	}
	var injected struct{ Error string }
	asked(t, socket, http.MethodPost, "/inject", "10", &injected)
	got := make([]byte, 64)
	if n, err := conn.Read(got); err != nil || string(got[:n]) != "<message><body>xxxxxxxxxx</body></message>" {
		t.Errorf("%q, %v", got[:n], err)
	}
}

func TestProxyAltersAndReplays(t *testing.T) {
	p := &proxy{offsets: []int{1}}
	first, second := p.message([]byte(contactStanza)), p.message([]byte(contactStanza))
	if altered := strings.Replace(contactStanza, "aGVsbG8=", "aGRsbG8=", 1); string(first[0]) != altered || string(second[0]) != contactStanza {
		t.Errorf("%q, %q", first, second)
	}
	if string(p.oldest) != contactStanza || p.seen.Messages != 2 || p.seen.Altered != 1 || p.seen.Oldest.IsZero() {
		t.Errorf("%q, %+v", p.oldest, p.seen)
	}
	if _, err := p.replay(nil); err == nil {
		t.Error("replayed to nobody")
	}
}
