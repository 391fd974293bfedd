package testbed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
)

// EngineOptions are how a site's dockerd runs.
type EngineOptions struct {
	LiveRestore bool     // containers outlive the engine
	Debug       bool     // the engine's log tells more
	Args        []string // further arguments of dockerd
}

// engineStart bounds the way from dockerd's start to its first answer. After a crash with plugins
// it takes 12 s on an idle machine.
const engineStart = 90 * time.Second

// StartEngine starts dockerd with a containerd of its own, waits until it answers, and gives it
// Image if it has not got it.
func (s *Site) StartEngine(ctx context.Context, o EngineOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.startEngine(ctx, o)
}

func (s *Site) startEngine(ctx context.Context, o EngineOptions) error {
	if s.engine != nil {
		select {
		case <-s.engine.Done():
		default:
			return fmt.Errorf("site %s: the engine runs already", s.name)
		}
	}
	if err := s.writeEngineConfig(ctx, o); err != nil {
		return err
	}
	p, err := s.Start(ctx, "dockerd", append([]string{"dockerd"}, o.Args...)...)
	if err != nil {
		return err
	}
	s.engine, s.opts = p, o
	wait, cancel := context.WithTimeout(ctx, engineStart)
	defer cancel()
	client := s.client()
	defer client.CloseIdleConnections()
	if err := p.await(wait, func() error { return ping(wait, client) }); err != nil {
		return err
	}
	s.answered = time.Now()
	return s.importImage(ctx)
}

func (s *Site) writeEngineConfig(ctx context.Context, o EngineOptions) error {
	config, err := json.Marshal(map[string]any{"live-restore": o.LiveRestore, "debug": o.Debug})
	if err != nil {
		return fmt.Errorf("site %s: %w", s.name, err)
	}
	return s.WriteFile(ctx, "/etc/docker/daemon.json", config, 0o644)
}

// StartEngines starts the engines of all sites at once.
func (l *Lab) StartEngines(ctx context.Context, o EngineOptions) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, s := range l.Sites() {
		group.Go(func() error { return s.StartEngine(ctx, o) })
	}
	return group.Wait()
}

// StopEngine stops dockerd as a service manager does, with SIGTERM, and waits for its end.
func (s *Site) StopEngine(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopEngine(ctx, "TERM")
}

// ResumeEngine starts dockerd with the options it had.
func (s *Site) ResumeEngine(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.startEngine(ctx, s.opts)
}

// RestartEngine stops dockerd and starts it with the options it had.
func (s *Site) RestartEngine(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.stopEngine(ctx, "TERM"); err != nil {
		return err
	}
	return s.startEngine(ctx, s.opts)
}

func (s *Site) stopEngine(ctx context.Context, signal string) error {
	if s.engine == nil {
		return fmt.Errorf("site %s: the engine was never started", s.name)
	}
	if err := s.engine.Stop(ctx, signal); err != nil {
		return err
	}
	_, err := s.Run(ctx, "timeout", "30", "sh", "-euc", `
while pid=$(cat /run/docker/containerd/containerd.pid 2>/dev/null) && [ -d "/proc/$pid" ]; do sleep 0.1; done
rm -f /run/docker.pid`)
	if err != nil {
		return fmt.Errorf("wait for the end of containerd: %w", err)
	}
	return nil
}

// Engine is dockerd's process, nil before the first StartEngine.
func (s *Site) Engine() *Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.engine
}

// Docker runs a docker command at the site and returns its output without the last newline.
func (s *Site) Docker(ctx context.Context, args ...string) (string, error) {
	return s.Run(ctx, append([]string{"docker"}, args...)...)
}

// Compose copies the folder dir of this host to the site and runs docker-compose in it. The
// project has the name of the folder.
func (s *Site) Compose(ctx context.Context, dir string, args ...string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("compose: %w", err)
	}
	name := filepath.Base(dir)
	to := filepath.Join(s.Shared(), "compose", name)
	if err := errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(dir))); err != nil {
		return "", fmt.Errorf("compose %s: %w", dir, err)
	}
	return s.Run(ctx, append([]string{
		"docker-compose", "--ansi", "never",
		"--project-name", name, "--project-directory", filepath.Join(SharedDir, "compose", name),
	}, args...)...)
}

// client speaks HTTP to the engine's socket from this host.
func (s *Site) client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", s.Path("/run/docker.sock"))
		},
	}}
}

func ping(ctx context.Context, client *http.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker/_ping", http.NoBody)
	if err != nil {
		return fmt.Errorf("ping the engine: %w", err)
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("ping the engine: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		err = fmt.Errorf("ping the engine: %s", response.Status)
	}
	return errors.Join(err, response.Body.Close())
}
