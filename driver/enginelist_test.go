package driver_test

import (
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"evio/driver"
	"evio/driver/collector"
	"evio/driver/socket"
)

// TestDockerEngineLists: what Docker's API answers becomes a list, and what it answers
// in part is an error. The answers are those of engine 20.10.
func TestDockerEngineLists(t *testing.T) {
	answers := map[string]string{
		"/networks": `[
			{"Id": "h", "Name": "host", "Driver": "host", "Scope": "local"},
			{"Id": "n", "Name": "blue", "Driver": "evio", "Scope": "local", "Containers": {}},
			{"Id": "m", "Name": "other", "Driver": "bridge", "Scope": "local"},
			{"Id": "s", "Name": "swarm", "Driver": "evionet:latest", "Scope": "swarm"}
		]`,
		"/networks/n": `{"Id": "n", "Name": "blue", "Containers": {
			"ep-joining": {"Name": "b", "EndpointID": "joining", "IPv4Address": "10.9.0.3/24"},
			"c1": {"Name": "a", "EndpointID": "joined", "IPv4Address": "10.9.0.2/24"}
		}}`,
		"/containers/json": `[
			{"Id": "c1", "NetworkSettings": {"Networks": {"blue": {"EndpointID": "joined"}, "bridge": {"EndpointID": "elsewhere"}}}},
			{"Id": "c2", "NetworkSettings": {"Networks": {"blue": {"EndpointID": "hidden"}, "odd": null}}},
			{"Id": "c3"}
		]`,
	}
	want := collector.List{
		Networks: []collector.Network{
			{ID: "h", Name: "host", Driver: "host", Local: true},
			{ID: "n", Name: "blue", Driver: "evio", Local: true},
			{ID: "m", Name: "other", Driver: "bridge", Local: true},
			{ID: "s", Name: "swarm", Driver: "evionet:latest"},
		},
		Endpoints: map[string]bool{"joining": true, "joined": true, "elsewhere": true, "hidden": true},
	}
	engine, change := fakeDocker(t, answers)
	got, err := engine.List(t.Context(), []string{"n", "not Docker's"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for path, damaged := range map[string][]string{
		"/networks":        {"", answers["/networks"][:90], `{"message": "page not found"}`},
		"/networks/n":      {"", answers["/networks/n"][:90], `{"Id": "m"}`, `{"Id": "n", "Containers": {"c": {"Name": "a"}}}`},
		"/containers/json": {"", answers["/containers/json"][:90]},
	} {
		for _, answer := range damaged {
			change(path, answer)
			if got, err := engine.List(t.Context(), []string{"n"}); err == nil {
				t.Errorf("%s answers %q: %+v", path, answer, got)
			}
		}
		change(path, answers[path])
	}
}

// fakeDocker serves answers by path, which the function it returns changes; an empty one
// is an error of the engine.
func fakeDocker(t *testing.T, answers map[string]string) (*driver.DockerEngine, func(path, answer string)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "docker.sock")
	l, err := socket.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	type change struct{ path, answer string }
	var changed atomic.Pointer[change]
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		w.Header().Set("Content-Type", "application/json")
		path := strings.TrimPrefix(r.URL.Path, "/v1.41")
		if path == "/_ping" {
			return
		}
		answer := answers[path]
		if c := changed.Load(); c != nil && c.path == path {
			answer = c.answer
		}
		if answer == "" {
			w.WriteHeader(http.StatusInternalServerError)
			answer = `{"message": "the store is closed"}`
		}
		_, _ = w.Write([]byte(answer))
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	engine, err := driver.NewDockerEngine(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = engine.Close()
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return engine, func(path, answer string) { changed.Store(&change{path, answer}) }
}
