package driver_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"testing"

	"github.com/sirupsen/logrus/hooks/test"

	"evio/driver"
	"evio/driver/drivertest"
	"evio/internal/store"
)

// FuzzRequest sends bodies to all calls: each is answered with JSON, nothing
// panics, and no promise to the plane is broken.
func FuzzRequest(f *testing.F) {
	methods := []string{
		"GetCapabilities", "AllocateNetwork", "FreeNetwork", "CreateNetwork", "DeleteNetwork", "CreateEndpoint", "DeleteEndpoint",
		"EndpointOperInfo", "Join", "Leave", "DiscoverNew", "DiscoverDelete", "ProgramExternalConnectivity", "RevokeExternalConnectivity",
	}
	for i, body := range []any{
		m{}, m{"Options": m{"a": "b"}}, m{}, createNetwork(net1, "evio.overlay=t1"), m{"NetworkID": "n"}, createEndpoint("n", "e", "10.9.0.7/24", ""),
		ids("n", "e"), ids("n", "e"), join("n", "e"), ids("n", "e"), m{"DiscoveryData": []int{1}}, m{}, m{}, m{},
	} {
		b, err := json.Marshal(body)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), b)
	}
	logger, hook := test.NewNullLogger()
	s, err := store.Open(driver.StoreConfig(f.TempDir(), logger.WithField("part", "store")))
	if err != nil {
		f.Fatal(err)
	}
	plane := &drivertest.Plane{}
	d := driver.New(driver.Config{
		EngineID: "e", Store: &memoryStore{Store: s}, Plane: plane, LinkExists: func(string) bool { return true }, Log: logger.WithField("part", "driver"),
	})
	d.Start(f.Context())
	if err := d.CreateNetwork(f.Context(), networkRequest("n")); err != nil {
		f.Fatal(err)
	}
	l := newPipeListener()
	served := make(chan error, 1)
	go func() { served <- d.Serve(l) }()
	f.Cleanup(func() {
		if err := d.Close(context.Background()); err != nil {
			f.Error(err)
		}
		if err := <-served; err != nil {
			f.Error(err)
		}
	})
	f.Fuzz(func(t *testing.T, method uint8, body []byte) {
		defer hook.Reset()
		conn, err := l.dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		name := methods[int(method)%len(methods)]
		code, err := exchange(conn, name, body)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		switch code {
		case http.StatusOK, http.StatusBadRequest, http.StatusInternalServerError:
		default:
			t.Errorf("%s: code %d", name, code)
		}
		for _, entry := range hook.AllEntries() {
			if len(entry.Message) >= 5 && entry.Message[:5] == "panic" {
				t.Error(entry.Message)
			}
		}
		for _, v := range plane.Violations() {
			t.Error(v)
		}
	})
}

// memoryStore forgets what it is given: disks are slow to fuzz on.
type memoryStore struct{ *store.Store }

func (memoryStore) Put(string, string, any) error { return nil }
func (memoryStore) Delete(string, string) error   { return nil }

func exchange(conn net.Conn, method string, body []byte) (int, error) {
	request := fmt.Appendf(nil, "POST /NetworkDriver.%s HTTP/1.1\r\nHost: plugin\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", method, len(body))
	go func() { _, _ = conn.Write(append(request, body...)) }() // ends with the connection
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		return 0, err
	}
	var answer m
	if err := json.Unmarshal(b.Bytes(), &answer); err != nil {
		return 0, fmt.Errorf("answer %q: %w", b.Bytes(), err)
	}
	return resp.StatusCode, nil
}
