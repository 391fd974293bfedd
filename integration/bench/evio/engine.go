package evio

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"evio/driver/status"
	"evio/integration/bench/lab"
	"evio/plugin/config"
)

// engine is a process with a network driver at one machine.
type engine struct {
	at      *lab.Namespace
	dir     string // of its files; short, since sockets are in it
	process *lab.Process
}

// newEngine writes a configuration for an account of the server.
func newEngine(at *lab.Namespace, dir, user string, x *xmppServer, change func(*config.File)) (*engine, error) {
	e := &engine{at: at, dir: filepath.Join(dir, user)}
	f := config.Default()
	f.TURN, f.Secrets, f.Claims = []config.TURN{}, map[string]string{}, map[string][]string{}
	f.STUN = []string{}
	f.Signalling = []config.Service{{
		Server: x.address(), TLS: config.StartTLS, JID: user + "@" + xmppDomain,
		PasswordFile: filepath.Join(e.dir, "password"), CAFile: x.caFile(),
		Overlays: map[string]string{config.AnyOverlay: config.Roster},
	}}
	f.StateDir, f.RunDir = filepath.Join(e.dir, "state"), filepath.Join(e.dir, "run")
	f.OVS.RunDir = config.None
	f.Docker.Socket = filepath.Join(e.dir, "docker.sock") // nobody is there
	if change != nil {
		change(&f)
	}
	b, err := json.Marshal(f)
	if err == nil {
		err = os.MkdirAll(e.dir, 0o700)
	}
	if err == nil {
		err = errors.Join(os.WriteFile(e.file("config.json"), b, 0o600), os.WriteFile(e.file("password"), []byte(xmppPassword+"\n"), 0o600))
	}
	if err != nil {
		return nil, fmt.Errorf("engine %s: %w", user, err)
	}
	return e, nil
}

func (e *engine) file(name string) string { return filepath.Join(e.dir, name) }

// start runs the program, which reads evio's environment, and waits until it answers.
func (e *engine) start(ctx context.Context, program ...string) error {
	args := append([]string{
		"env", "EVIO_CONFIG=" + e.file("config.json"), "EVIO_SOCKET=" + e.file("driver.sock"), "EVIO_V1_NAMES=none",
	}, program...)
	var err error
	if e.process, err = e.at.Start(ctx, filepath.Base(e.dir), args...); err != nil {
		return err
	}
	return e.process.Await(ctx, func() error { return e.call(ctx, "GetCapabilities", nil, nil) })
}

// status returns the status document.
func (e *engine) status(ctx context.Context) (status.Document, error) {
	return status.Fetch(ctx, e.file("run/evio.sock"))
}

// call calls a method of the network driver as Docker does. request and answer are of
// github.com/docker/go-plugins-helpers/network; a nil answer is not decoded.
func (e *engine) call(ctx context.Context, method string, request, answer any) error {
	fail := func(err error) error { return fmt.Errorf("%s: %w", method, err) }
	body, err := json.Marshal(request)
	if err != nil {
		return fail(err)
	}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://evio/NetworkDriver."+method, bytes.NewReader(body))
	if err != nil {
		return fail(err)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", e.file("driver.sock"))
	}}
	defer transport.CloseIdleConnections()
	got, err := (&http.Client{Transport: transport}).Do(post)
	if err != nil {
		return fail(err)
	}
	text, err := io.ReadAll(io.LimitReader(got.Body, 1<<20))
	if err = errors.Join(err, got.Body.Close()); err != nil {
		return fail(err)
	}
	var refusal struct{ Err string }
	if err := json.Unmarshal(text, &refusal); err != nil || refusal.Err != "" || got.StatusCode != http.StatusOK {
		return fail(errors.New(strings.TrimSpace(got.Status + " " + string(text))))
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fail(err)
	}
	return nil
}
