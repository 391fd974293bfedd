//go:build e2e

package hostile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"evio/integration/scenario"
	"evio/integration/testbed"
)

// hand is a program of integration/probe that takes orders from a test.
type hand struct {
	machine *testbed.Machine
	socket  string
	process *testbed.Process
}

// newHand starts a command that takes -control, and waits until it listens.
func newHand(t *testing.T, m *testbed.Machine, name string, args ...string) *hand {
	t.Helper()
	h := &hand{machine: m, socket: "/run/" + name + ".sock"}
	var err error
	if h.process, err = m.Start(scenario.Within(t, 10*time.Second), name, append(append([]string{"probe"}, args...), "-control", h.socket)...); err != nil {
		t.Fatal(err)
	}
	scenario.UntilContext(t, 10*time.Second, func(ctx context.Context) error { return h.try(ctx, "GET /seen", nil, nil) })
	return h
}

// stop ends it, even when the test is over.
func (h *hand) stop(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
	defer cancel()
	if err := h.process.Stop(ctx, "TERM"); err != nil {
		t.Fatal(err)
	}
}

// ask does what the route says and decodes the answer.
func (h *hand) ask(t *testing.T, route string, in, out any) {
	t.Helper()
	if err := h.try(scenario.Within(t, 30*time.Second), route, in, out); err != nil {
		t.Fatal(err)
	}
}

func (h *hand) try(ctx context.Context, route string, in, out any) error {
	err := post(ctx, h.machine.Path(h.socket), route, in, out)
	if err != nil {
		return fmt.Errorf("%s: %s of %s: %w", h.machine.Name(), route, h.socket, err)
	}
	return nil
}

// post does a request, "METHOD /path", on a unix socket.
func post(ctx context.Context, socket, route string, in, out any) error {
	var method, path string
	if _, err := fmt.Sscan(route, &method, &path); err != nil {
		return err
	}
	var body io.Reader = http.NoBody
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://unix"+path, body)
	if err != nil {
		return err
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(response.Body)
	err = errors.Join(err, response.Body.Close())
	if err == nil && response.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %s", response.Status, text)
	}
	if err == nil && out != nil {
		err = json.Unmarshal(text, out)
	}
	return err
}
