package ovs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// programs runs the tools of Open vSwitch. It is the one place that starts
// programs which end by themselves.
type programs struct {
	runDir string
	starts *atomic.Uint64 // counts them
}

// env tells the programs where the sockets are.
func (p programs) env() []string {
	env := os.Environ()
	for _, name := range []string{"OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR"} {
		env = append(env, name+"="+p.runDir)
	}
	return env
}

// run starts a program, gives it stdin and returns what it prints; what it says on
// standard error is part of the error. Ports that do not work are no error of
// ovs-vsctl: it reports success and the database has the reason.
func (p programs) run(ctx context.Context, stdin io.Reader, name string, args ...string) ([]byte, error) {
	var out, complaint bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // fixed programs, no shell
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = p.env(), stdin, &out, &complaint
	cmd.WaitDelay = time.Second
	p.starts.Add(1)
	err := cmd.Run()
	said := strings.ReplaceAll(strings.TrimSpace(complaint.String()), "\n", "; ")
	if err == nil {
		return out.Bytes(), nil
	}
	if errors.Is(err, exec.ErrNotFound) {
		return nil, fmt.Errorf("%s is missing: install Open vSwitch 2.17 or newer, or put its programs on PATH", name)
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if said != "" {
		return nil, fmt.Errorf("%s: %w: %s", name, err, said)
	}
	return nil, fmt.Errorf("%s: %w", name, err)
}

// vsctl changes the database in one transaction and waits until the switch has
// made it so. Errors of single ports are in their rows, not here.
func (p programs) vsctl(ctx context.Context, args ...string) error {
	_, err := p.run(ctx, nil, "ovs-vsctl", append(p.vsctlOptions(ctx), args...)...)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signal() == syscall.SIGALRM {
			return errors.New("ovs-vswitchd does not answer: look whether it runs")
		}
	}
	return err
}

// vsctlNow changes the database without waiting for the switch, which may not run.
func (p programs) vsctlNow(ctx context.Context, args ...string) error {
	_, err := p.run(ctx, nil, "ovs-vsctl", append(append(p.vsctlOptions(ctx), "--no-wait"), args...)...)
	return err
}

// vsctlOptions gives ovs-vsctl the time that the context leaves, and at most the
// default, after which it ends by itself and says why.
func (p programs) vsctlOptions(ctx context.Context) []string {
	limit := commandTimeout
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline))
	}
	return []string{"--db=" + p.database(), "--timeout=" + strconv.Itoa(max(1, int(limit.Seconds())))}
}

// database is how the programs name the database socket.
func (p programs) database() string { return "unix:" + p.databaseSocket() }

func (p programs) databaseSocket() string { return p.runDir + "/db.sock" }

// management is how ovs-ofctl names a bridge, whatever directory it believes in.
func (p programs) management(bridge string) string { return "unix:" + p.managementSocket(bridge) }

func (p programs) managementSocket(bridge string) string { return p.runDir + "/" + bridge + ".mgmt" }
