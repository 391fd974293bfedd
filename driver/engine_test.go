package driver_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"evio/driver"
	"evio/driver/socket"
)

// TestDockerEngine: what the client asks over a socket, in the API version that it and the
// engine settle on.
func TestDockerEngine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "docker.sock")
	engine, err := driver.NewDockerEngine(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = engine.Close() }()
	if _, err := engine.NetworkName(t.Context(), net1); err == nil {
		t.Error("a name without an engine")
	}
	if err := engine.Ping(t.Context()); err == nil {
		t.Error("an answer without an engine")
	}

	var mu sync.Mutex
	var versions []string
	inspect := regexp.MustCompile(`^/v([0-9.]+)/networks/(.*)$`)
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41") // of engine 20.10
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(r.URL.Path, "/_ping") {
			return
		}
		found := inspect.FindStringSubmatch(r.URL.Path)
		if found == nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		mu.Lock()
		versions = append(versions, found[1])
		mu.Unlock()
		answer := map[string]any{}
		switch found[2] {
		case net1:
			answer = map[string]any{"Id": net1, "Name": "blue", "IPAM": map[string]any{"Config": []map[string]any{
				{"Subnet": "10.9.0.0/24", "IPRange": "10.9.0.70/26"}, {"Subnet": "fd00::/64"}, {"Subnet": "0.0.0.0/0"},
			}}}
		case "odd":
			answer = map[string]any{"Id": "odd", "Name": "odd", "IPAM": map[string]any{"Config": []map[string]any{{"Subnet": "everything"}}}}
		case net2: // found by a prefix
			answer = map[string]any{"Id": net1, "Name": "blue"}
		default:
			w.WriteHeader(http.StatusNotFound)
			answer["message"] = "network not found"
		}
		_ = json.NewEncoder(w).Encode(answer)
	})}
	l, err := socket.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	defer func() {
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()
	if err := engine.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if name, err := engine.NetworkName(t.Context(), net1); name != "blue" || err != nil {
		t.Errorf("name %q, %v", name, err)
	}
	for _, id := range []string{net2, "none", ""} {
		if name, err := engine.NetworkName(t.Context(), id); err == nil {
			t.Errorf("name of %q: %q", id, name)
		}
	}
	ranges, err := engine.NetworkRanges(t.Context(), net1)
	if fmt.Sprint(ranges) != "[10.9.0.64/26 fd00::/64]" || err != nil {
		t.Errorf("ranges %v, %v", ranges, err)
	}
	for _, id := range []string{net2, "odd", "none"} {
		if ranges, err := engine.NetworkRanges(t.Context(), id); err == nil {
			t.Errorf("ranges of %q: %v", id, ranges)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := engine.NetworkName(ctx, net1); err == nil {
		t.Error("no error though the context ended")
	}
	mu.Lock()
	defer mu.Unlock()
	for _, v := range versions {
		if v != "1.41" {
			t.Errorf("asked in version %s", v)
		}
	}
}
