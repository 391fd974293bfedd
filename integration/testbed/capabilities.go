package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// PluginSocket is where the engine calls the managed plugin, a path of this host; V1Socket where it
// calls the plugin that is found by a name in the engine's folder.
func (s *Site) PluginSocket(ctx context.Context, name string) (string, error) {
	id, err := s.Docker(ctx, "plugin", "inspect", "--format", "{{.Id}}", name)
	if err != nil {
		return "", err
	}
	return s.Path("/run/docker/plugins/" + id + "/evio.sock"), nil
}

// V1Socket is described at PluginSocket.
func (s *Site) V1Socket(name string) string { return s.Path("/run/docker/plugins/" + name + ".sock") }

// AwaitCapabilities asks a plugin for its capabilities, every 5 ms until it answers, and returns when
// it did.
func AwaitCapabilities(ctx context.Context, socket string) (time.Time, error) {
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			// By its folder: the whole path is longer than a socket's may be.
			dir, err := os.Open(filepath.Dir(socket))
			if err != nil {
				return nil, err
			}
			defer dir.Close() //nolint:errcheck // only looked into
			return (&net.Dialer{}).DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(socket)))
		},
	}}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := capabilities(ctx, client)
		if err == nil {
			return time.Now(), nil
		}
		select {
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("ask %s: %w", socket, errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
}

func capabilities(ctx context.Context, client *http.Client) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://plugin/NetworkDriver.GetCapabilities", http.NoBody)
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = errors.New(answer.Status)
	}
	return errors.Join(err, answer.Body.Close())
}
