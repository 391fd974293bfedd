package testbed

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
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"
)

// Paths of evio at a site where it runs without an engine.
const (
	evioSocket = "/run/evio/driver.sock" // where Docker would call
	evioStatus = "/run/evio/evio.sock"
	evioConfig = "/etc/evio/config.json"
)

// EvioOptions are how a site's evio runs without an engine.
type EvioOptions struct {
	Config []byte   // the configuration file; nil: the one that is there
	Env    []string // further environment, NAME=VALUE
	Binary string   // evio's binary for this run; empty: the lab's
	// Without are capabilities that it does not have, with commas between them.
	Without string
}

// evioBinary is evio's binary, made once per lab.
type evioBinary struct {
	once sync.Once
	file string
	err  error
}

// evioFile returns the binary, which this module's plugin folder gives unless Options name another.
func (l *Lab) evioFile(ctx context.Context) (string, error) {
	b := &l.evio
	b.once.Do(func() {
		if b.file == "" {
			b.file = filepath.Join(l.dir, "evio")
			b.err = buildEvio(ctx, b.file)
		}
	})
	return b.file, b.err
}

func buildEvio(ctx context.Context, out string) error {
	_, file, _, _ := runtime.Caller(0)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w -buildid=", "-o", out, "./plugin") //nolint:gosec // constant except for our directory
	cmd.Dir = filepath.Join(filepath.Dir(file), "..", "..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build evio (or set Options.Evio): %w: %s", errors.Join(ctx.Err(), err), tail(string(text)))
	}
	return nil
}

// StartEvio runs evio at the site as a process of the host, without an engine and with an Open
// vSwitch of its own, and waits until it answers. State of an earlier run is kept.
func (s *Site) StartEvio(ctx context.Context, o EvioOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.evio != nil {
		select {
		case <-s.evio.Done():
		default:
			return fmt.Errorf("site %s: evio runs already", s.name)
		}
	}
	file := o.Binary
	if file == "" {
		var err error
		if file, err = s.lab.evioFile(ctx); err != nil {
			return err
		}
	}
	if o.Config != nil {
		if err := s.WriteFile(ctx, evioConfig, o.Config, 0o600); err != nil {
			return err
		}
	}
	if err := s.share(file, "evio"); err != nil {
		return err
	}
	args := slices.Concat([]string{"env", "EVIO_SOCKET=" + evioSocket, "EVIO_V1_NAMES=none", "EVIO_OVS_RUNDIR=none"},
		o.Env, without(o.Without), []string{filepath.Join(SharedDir, "evio"), "plugin"})
	var err error
	if s.evio, err = s.Start(ctx, "evio", args...); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return s.evio.await(ctx, func() error {
		var manifest struct{ Implements []string }
		if err := s.callEvio(ctx, "Plugin.Activate", nil, &manifest); err != nil {
			return err
		}
		_, err := os.Stat(s.EvioStatus())
		return err
	})
}

// without is what runs the command that follows it without capabilities.
func without(capabilities string) []string {
	if capabilities == "" {
		return nil
	}
	return []string{"capsh", "--drop=" + capabilities, "--", "-c", `exec "$0" "$@"`}
}

// share puts a file of this host into the machine's SharedDir.
func (m *Machine) share(file, name string) error {
	to := filepath.Join(m.Shared(), name)
	err := os.Remove(to)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("share %s: %w", file, err)
	}
	if os.Link(file, to) == nil { // of the lab's own file system
		return nil
	}
	from, err := os.Open(file) //nolint:gosec // the caller's file
	if err != nil {
		return fmt.Errorf("share %s: %w", file, err)
	}
	defer from.Close()                                                     //nolint:errcheck // only read from
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755) //nolint:gosec // a program
	if err != nil {
		return fmt.Errorf("share %s: %w", file, err)
	}
	_, err = io.Copy(out, from)
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("share %s: %w", file, err)
	}
	return nil
}

// StopEvio ends evio with SIGTERM, KillEvio with SIGKILL; networks and identity stay on disk.
func (s *Site) StopEvio(ctx context.Context) error { return s.stopEvio(ctx, "TERM") }

// KillEvio is described at StopEvio.
func (s *Site) KillEvio(ctx context.Context) error { return s.stopEvio(ctx, "KILL") }

func (s *Site) stopEvio(ctx context.Context, signal string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.evio == nil {
		return fmt.Errorf("site %s: evio was never started", s.name)
	}
	return s.evio.Stop(ctx, signal)
}

// Evio is the process of StartEvio, nil before.
func (s *Site) Evio() *Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.evio
}

// EvioStatus is the status socket, a path of this host, whichever way evio runs at the site.
func (s *Site) EvioStatus() string { return s.Path(evioStatus) }

// CallEvio calls a method of the network driver, such as CreateNetwork, as Docker does. request and
// response are of github.com/docker/go-plugins-helpers/network; a nil response is not decoded.
func (s *Site) CallEvio(ctx context.Context, method string, request, response any) error {
	return s.callEvio(ctx, "NetworkDriver."+method, request, response)
}

func (s *Site) callEvio(ctx context.Context, method string, request, response any) error {
	fail := func(err error) error { return fmt.Errorf("site %s: %s: %w", s.name, method, err) }
	body, err := json.Marshal(request)
	if err != nil {
		return fail(err)
	}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://evio/"+method, bytes.NewReader(body))
	if err != nil {
		return fail(err)
	}
	post.Header.Set("Content-Type", "application/vnd.docker.plugins.v1.2+json")
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", s.Path(evioSocket))
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
		return fail(fmt.Errorf("%s: %s", got.Status, tail(string(text))))
	}
	if response == nil {
		return nil
	}
	if err := json.Unmarshal(text, response); err != nil {
		return fail(err)
	}
	return nil
}
