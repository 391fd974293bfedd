package driver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	logtest "github.com/sirupsen/logrus/hooks/test"
	"go.uber.org/goleak"

	"evio/driver"
	"evio/driver/drivertest"
	"evio/driver/socket"
	"evio/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a driver that serves a unix socket, with everything beneath it in memory
// but the store.
type rig struct {
	t      *testing.T
	dir    string // state
	plane  *drivertest.Plane
	engine *drivertest.Engine
	store  *drivertest.Store
	links  func(string) bool
	fault  error
	names  []string
	apart  time.Duration

	driver *driver.Driver
	logs   *logtest.Hook
	path   string // of the socket
	client *http.Client
	served chan error
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), plane: &drivertest.Plane{}, engine: &drivertest.Engine{}}
	r.links = func(name string) bool { return r.plane.HasLink(name) }
	t.Cleanup(func() {
		for _, v := range r.plane.Violations() {
			t.Errorf("the driver broke a promise to the plane: %s", v)
		}
	})
	return r
}

// prepare makes the driver without starting it.
func (r *rig) prepare() *driver.Driver {
	r.t.Helper()
	logger, hook := logtest.NewNullLogger()
	r.logs = hook
	if r.store == nil {
		r.store = &drivertest.Store{}
	}
	s, err := store.Open(driver.StoreConfig(r.dir, logger.WithField("part", "store")))
	if err != nil {
		r.t.Fatal(err)
	}
	r.store.Store = s
	r.driver = driver.New(driver.Config{
		EngineID: "engine-1", Store: r.store, Plane: r.plane, Engine: r.engine, Fault: r.fault,
		Names: r.names, LookApart: r.apart, LinkExists: r.links, Log: logger.WithField("part", "driver"),
	})
	return r.driver
}

// start makes the driver and serves it. Without an explicit stop it is stopped at
// the end of the test.
func (r *rig) start() *rig {
	r.t.Helper()
	d := r.prepare()
	r.path = filepath.Join(r.t.TempDir(), "evio.sock")
	r.listen(r.path)
	d.Start(r.t.Context())
	r.client = unixClient(r.path)
	r.t.Cleanup(r.stop)
	return r
}

func (r *rig) listen(path string) {
	r.t.Helper()
	l, err := socket.Listen(path)
	if err != nil {
		r.t.Fatal(err)
	}
	r.served = make(chan error, 1)
	served := r.served
	d := r.driver
	go func() { served <- d.Serve(l) }()
}

func (r *rig) stop() {
	r.t.Helper()
	if r.driver == nil {
		return
	}
	if err := r.driver.Close(context.Background()); err != nil {
		r.t.Errorf("close: %v", err)
	}
	if err := <-r.served; err != nil {
		r.t.Errorf("serve: %v", err)
	}
	r.client.CloseIdleConnections()
	r.driver = nil
}

// restart is what a crash and a new process come to: the store stays, the plane
// forgets.
func (r *rig) restart() {
	r.t.Helper()
	r.stop()
	r.plane = &drivertest.Plane{Hook: r.plane.Hook}
	r.start()
}

func unixClient(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}
}

type m = map[string]any

// post makes a call as Docker does and returns the answer.
func (r *rig) post(method string, body any) (int, m) {
	r.t.Helper()
	code, answer, err := post(r.t.Context(), r.client, method, body)
	if err != nil {
		r.t.Fatalf("%s: %v", method, err)
	}
	return code, answer
}

func post(ctx context.Context, client *http.Client, method string, body any) (int, m, error) {
	var reader io.Reader = http.NoBody
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			return 0, nil, err
		}
		reader = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://plugin/"+method, reader)
	if err != nil {
		return 0, nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	var answer m
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return resp.StatusCode, nil, err
	}
	return resp.StatusCode, answer, nil
}

// ok makes a call that has to succeed.
func (r *rig) ok(method string, body any) m {
	r.t.Helper()
	code, answer := r.post("NetworkDriver."+method, body)
	if code != http.StatusOK || answer["Err"] != nil {
		r.t.Fatalf("%s: %d %v, want success", method, code, answer)
	}
	return answer
}

// refused makes a call that has to fail and returns the sentence.
func (r *rig) refused(method string, body any) string {
	r.t.Helper()
	code, answer := r.post("NetworkDriver."+method, body)
	text, _ := answer["Err"].(string)
	if code == http.StatusOK || text == "" {
		r.t.Fatalf("%s: %d %v, want an error", method, code, answer)
	}
	if strings.ContainsAny(text, "\n\r") {
		r.t.Errorf("%s: the error has more than one line: %q", method, text)
	}
	return text
}

func (r *rig) refusedWith(method string, body any, parts ...string) {
	r.t.Helper()
	text := r.refused(method, body)
	for _, part := range parts {
		if !strings.Contains(text, part) {
			r.t.Errorf("%s: error %q does not mention %q", method, text, part)
		}
	}
}

// files returns how many objects are stored.
func (r *rig) files() int {
	r.t.Helper()
	found := 0
	for _, kind := range driver.StoreConfig("", nil).Kinds {
		entries, err := os.ReadDir(filepath.Join(r.dir, kind))
		if err != nil {
			r.t.Fatal(err)
		}
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), ".json") {
				found++
			}
		}
	}
	return found
}

// wantSizes checks what plane and store hold.
func (r *rig) wantSizes(networks, endpoints, files int) {
	r.t.Helper()
	n, e := r.plane.Size()
	if n != networks || e != endpoints || r.files() != files {
		r.t.Errorf("plane has %d networks and %d endpoints, store %d files; want %d, %d, %d", n, e, r.files(), networks, endpoints, files)
	}
}

// eventually waits for what other goroutines bring about.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(10 * time.Second)
	for !cond() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

const (
	net1 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	net2 = "b0swarmidof25charsbase36x"
	ep1  = "1111111111111111111111111111111111111111111111111111111111111111"
	ep2  = "2222222222222222222222222222222222222222222222222222222222222222"
)

// createNetwork is the request of docker network create -o K=V...
func createNetwork(id string, options ...string) m {
	user := m{}
	for _, o := range options {
		k, v, _ := strings.Cut(o, "=")
		user[k] = v
	}
	return m{
		"NetworkID": id,
		"Options":   m{"com.docker.network.generic": user, "com.docker.network.enable_ipv6": false},
		"IPv4Data": []m{{
			"AddressSpace": "LocalDefault", "Pool": "10.9.0.0/24", "Gateway": "10.9.0.1/24", "AuxAddresses": m{},
		}},
		"IPv6Data": []m{},
	}
}

func createEndpoint(network, id, address, mac string) m {
	return m{
		"NetworkID": network, "EndpointID": id,
		"Interface": m{"Address": address, "AddressIPv6": "", "MacAddress": mac},
		"Options":   m{"com.docker.network.endpoint.exposedports": []m{}, "com.docker.network.portmap": []m{}},
	}
}

func ids(network, endpoint string) m { return m{"NetworkID": network, "EndpointID": endpoint} }

func join(network, endpoint string) m {
	return m{
		"NetworkID": network, "EndpointID": endpoint, "SandboxKey": "/var/run/docker/netns/0123456789ab",
		"Options": m{"com.docker.network.endpoint.exposedports": []m{}, "com.docker.network.portmap": []m{}},
	}
}
