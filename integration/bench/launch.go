package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
)

// inRoot is in the repository's root, where make runs this.
const inRoot = "integration/inroot.sh"

// launch runs the bench in a root of its own, after it has started the engine that one system needs:
// an engine has cgroups, which inroot.sh does not give and would not take away.
func launch(ctx context.Context, args []string) (err error) {
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("it makes namespaces and mounts: run it as root")
	}
	cmd := exec.CommandContext(ctx, inRoot, append([]string{o.bin + "/bench", "inside"}, args...)...) //nolint:gosec // our own script
	proc, err := os.Open("/proc")
	if err != nil {
		return err
	}
	defer proc.Close()                //nolint:errcheck // nothing is written
	cmd.ExtraFiles = []*os.File{proc} // outerProc
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// A parent-death signal is bound to the thread that forks, which must not end before.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if slices.Contains(o.names, "docker-bridge") {
		e, failed := startEngine(ctx, o.bin)
		if failed != nil {
			return fmt.Errorf("docker-bridge: %w", failed)
		}
		defer func() { err = errors.Join(err, e.close()) }()
		cmd.Env, cmd.ExtraFiles = append(os.Environ(), e.environment()), append(cmd.ExtraFiles, e.namespaces[:]...)
	}
	return cmd.Run()
}
