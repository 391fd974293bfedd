package status

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// maxSentence bounds what is read of an answer that says what is wrong.
const maxSentence = 4 << 10

// Fetch asks the plugin that serves the unix socket for its status.
func Fetch(ctx context.Context, socket string) (Document, error) {
	doc, _, err := FetchText(ctx, socket)
	return doc, err
}

// FetchText is Fetch, and returns what was sent as well: a plugin of another version
// may report more than this document has.
func FetchText(ctx context.Context, socket string) (Document, []byte, error) {
	var text json.RawMessage
	err := ask(ctx, socket, http.MethodGet, statusPath, nil, &text)
	if err != nil {
		return Document{}, nil, fmt.Errorf("fetch status: %w", err)
	}
	doc, err := Decode(text)
	if err != nil {
		return Document{}, nil, fmt.Errorf("fetch status: %w", err)
	}
	return doc, append(text, '\n'), nil
}

// Decode reads a document; lists and tables that it lacks are empty.
func Decode(text []byte) (Document, error) {
	var doc Document
	if err := json.Unmarshal(text, &doc); err != nil {
		return Document{}, err
	}
	doc.complete()
	return doc, nil
}

// FetchPeers asks for the accounts whose identity is pinned, sorted.
func FetchPeers(ctx context.Context, socket string) ([]Peer, error) {
	var list []Peer
	if err := ask(ctx, socket, http.MethodGet, peersPath, nil, &list); err != nil {
		return nil, fmt.Errorf("list peers: %w", err)
	}
	return list, nil
}

// AcceptPeer has the identity pinned that an account showed and that was refused, if it has
// this fingerprint.
func AcceptPeer(ctx context.Context, socket, jid, identity string) error {
	if err := ask(ctx, socket, http.MethodPost, acceptPath, peerRequest{jid, &identity}, nil); err != nil {
		return fmt.Errorf("accept %s: %w", jid, err)
	}
	return nil
}

// ForgetPeer has the pin of an account removed.
func ForgetPeer(ctx context.Context, socket, jid string) error {
	if err := ask(ctx, socket, http.MethodPost, forgetPath, peerRequest{JID: jid}, nil); err != nil {
		return fmt.Errorf("forget %s: %w", jid, err)
	}
	return nil
}

// ask sends a request, its body as JSON if there is one, and decodes the answer.
func ask(ctx context.Context, socket, method, path string, body, answer any) error {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	var sent bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&sent).Encode(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://evio"+path, &sent)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		if of, ok := errors.AsType[*url.Error](err); ok {
			return of.Err // the address in it says nothing about a unix socket
		}
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	switch {
	case resp.StatusCode == http.StatusNoContent && answer == nil:
		return nil
	case resp.StatusCode != http.StatusOK:
		sentence, err := io.ReadAll(io.LimitReader(resp.Body, maxSentence))
		if text := strings.TrimSpace(string(sentence)); text != "" && err == nil {
			return errors.New(text)
		}
		return errors.New(resp.Status)
	case answer == nil:
		return nil
	}
	return json.NewDecoder(io.LimitReader(resp.Body, maxDocument)).Decode(answer)
}
