package status

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
)

// Fetch asks the plugin that serves the unix socket for its status.
func Fetch(ctx context.Context, socket string) (Document, error) {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://evio"+path, nil)
	if err != nil {
		return Document{}, fmt.Errorf("fetch status: %w", err)
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return Document{}, fmt.Errorf("fetch status: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return Document{}, fmt.Errorf("fetch status: %s", resp.Status)
	}
	var doc Document
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxDocument)).Decode(&doc); err != nil {
		return Document{}, fmt.Errorf("fetch status: %w", err)
	}
	return doc, nil
}
