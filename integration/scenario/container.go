package scenario

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"evio/integration/testbed"
)

// Docker runs the docker command at a site and fails the test if it fails.
func Docker(t *testing.T, s *Site, args ...string) string {
	t.Helper()
	out, err := s.Docker(Within(t, 30*time.Second), args...)
	if err != nil {
		t.Fatalf("site %s: %v", s.Name(), err)
	}
	return strings.TrimSpace(out)
}

// StartContainer starts a container that is removed when the test ends.
func StartContainer(t *testing.T, s *Site, container, network string, args ...string) {
	t.Helper()
	t.Cleanup(func() {
		if _, err := s.Docker(context.WithoutCancel(t.Context()), "rm", "-f", container); err != nil {
			t.Error(err)
		}
	})
	if err := s.RunContainer(Within(t, 30*time.Second), container, network, args...); err != nil {
		t.Fatal(err)
	}
}

// Exec runs a command in a container and fails the test if it fails.
func Exec(t *testing.T, s *Site, container string, args ...string) string {
	t.Helper()
	out, err := s.Exec(Within(t, 30*time.Second), container, args...)
	if err != nil {
		t.Fatalf("site %s: %v", s.Name(), err)
	}
	return out
}

// Addresses returns the addresses of a container in a network and fails the test if it has none.
func Addresses(t *testing.T, s *Site, container, network string) (v4, v6 string) {
	t.Helper()
	v4, v6, err := s.Addresses(Within(t, 10*time.Second), container, network)
	if err != nil {
		t.Fatal(err)
	}
	return v4, v6
}

// AskStatus runs a command at a site and returns what it printed, on either output, and its exit code.
func AskStatus(t *testing.T, s *Site, command ...string) (string, int) {
	t.Helper()
	out, err := s.Run(Within(t, 15*time.Second), command...)
	if err == nil {
		return out, 0
	}
	failed, ok := errors.AsType[*testbed.CommandError](err)
	exit, exited := errors.AsType[*exec.ExitError](err)
	if !ok || !exited {
		t.Fatal(err)
	}
	return out + failed.Stderr, exit.ExitCode()
}
