package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// InstallPlugin makes a managed plugin of the folder bundle of this host (config.json and rootfs),
// gives it its settings and enables it. A plugin of that name must not exist.
func (s *Site) InstallPlugin(ctx context.Context, name, bundle string, settings map[string]string) error {
	if err := s.CreatePlugin(ctx, name, bundle, settings); err != nil {
		return err
	}
	_, err := s.Docker(ctx, "plugin", "enable", name)
	return err
}

// CreatePlugin is InstallPlugin, but does not enable the plugin.
func (s *Site) CreatePlugin(ctx context.Context, name, bundle string, settings map[string]string) error {
	if err := s.createPlugin(ctx, name, bundle); err != nil {
		return fmt.Errorf("site %s: create plugin %s from %s: %w", s.name, name, bundle, err)
	}
	if len(settings) > 0 {
		args := []string{"plugin", "set", name}
		for _, key := range slices.Sorted(maps.Keys(settings)) {
			args = append(args, key+"="+settings[key])
		}
		if _, err := s.Docker(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// createPlugin does what docker plugin create does, but with a folder of this host.
func (s *Site) createPlugin(ctx context.Context, name, bundle string) error {
	tar := exec.CommandContext(ctx, "tar", "-C", bundle, "-c", "config.json", "rootfs") //nolint:gosec // the folder is the caller's
	var stderr strings.Builder
	tar.Stderr = &stderr
	body, err := tar.StdoutPipe()
	if err != nil {
		return err
	}
	if err := tar.Start(); err != nil {
		return err
	}
	client := s.client()
	defer client.CloseIdleConnections()
	postErr := post(ctx, client, "http://docker/plugins/create?name="+url.QueryEscape(name), body)
	_, drainErr := io.Copy(io.Discard, body) // else tar waits for ever when the engine has refused
	if err := tar.Wait(); err != nil {
		return errors.Join(fmt.Errorf("tar: %w: %s", err, tail(stderr.String())), postErr)
	}
	return errors.Join(postErr, drainErr)
}

func post(ctx context.Context, client *http.Client, to string, body io.Reader) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to, io.NopCloser(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-tar")
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	if response.StatusCode/100 != 2 {
		err = errors.Join(fmt.Errorf("%s: %s", response.Status, tail(string(text))), err)
	}
	return errors.Join(err, response.Body.Close())
}

// RemovePlugin disables and removes a plugin, also one that is in use.
func (s *Site) RemovePlugin(ctx context.Context, name string) error {
	_, err := s.Docker(ctx, "plugin", "rm", "--force", name)
	return err
}

// PluginPID is the process ID, in the site, of the plugin's first process.
func (s *Site) PluginPID(ctx context.Context, name string) (int, error) {
	out, err := s.Run(ctx, "sh", "-euc", `
id=$(docker plugin inspect --format '{{.Id}}' "$1")
jq .init_process_pid "/run/docker/runtime-runc/plugins.moby/$id/state.json"`, "pid", name)
	if err != nil {
		return 0, fmt.Errorf("process of plugin %s: %w", name, err)
	}
	pid, err := strconv.Atoi(out)
	if err != nil {
		return 0, fmt.Errorf("process of plugin %s: %w", name, err)
	}
	return pid, nil
}

// KillPlugin kills the plugin's first process with SIGKILL; the engine starts another.
func (s *Site) KillPlugin(ctx context.Context, name string) error {
	pid, err := s.PluginPID(ctx, name)
	if err != nil {
		return err
	}
	_, err = s.Run(ctx, "kill", "-KILL", strconv.Itoa(pid))
	return err
}
