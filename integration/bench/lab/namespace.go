package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Namespace is a network namespace in which programs run. All have one mount and PID namespace.
type Namespace struct {
	Path string // of the file that nsenter takes
	dir  string // for logs
}

// NewNamespace makes one that has loopback only; ip netns knows it by its name. Logs of its
// programs are in dir.
func NewNamespace(ctx context.Context, name, dir string) (*Namespace, error) {
	for _, args := range [][]string{
		{"ip", "netns", "add", name},
		{"ip", "-n", name, "link", "set", "lo", "up"},
	} {
		if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil { //nolint:gosec // our own words
			return nil, fmt.Errorf("namespace %s: %w: %s", name, err, out)
		}
	}
	return &Namespace{Path: filepath.Join("/run/netns", name), dir: dir}, nil
}

// NamespaceAt is that which a file stands for. Logs of its programs are in dir.
func NamespaceAt(path, dir string) *Namespace { return &Namespace{Path: path, dir: dir} }

// Run runs a program until it ends, or is killed when ctx ends, and returns its standard output.
// Its standard error is part of the error.
func (n *Namespace) Run(ctx context.Context, args ...string) (string, error) {
	cmd := n.Command(ctx, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %w: %s%s", strings.Join(args, " "), err, stderr.String(), stdout.String())
	}
	return stdout.String(), nil
}

// Process is a program that goes on running. It ends with the bench at the latest.
type Process struct {
	PID  int
	log  string
	cmd  *exec.Cmd
	done chan struct{}
	err  error // valid once done is closed
}

// Start starts a program. What it prints is in the log NAME.log of the namespace's directory. ctx
// bounds nothing but the start.
func (n *Namespace) Start(ctx context.Context, name string, args ...string) (*Process, error) {
	p := &Process{done: make(chan struct{}), log: filepath.Join(n.dir, name+".log")}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer log.Close() //nolint:errcheck // the program has its own descriptor
	p.cmd = n.Command(context.WithoutCancel(ctx), args...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p.PID = p.cmd.Process.Pid
	go func() { // ends with the program
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// Command is a program that is killed when ctx ends. It enters the namespace and becomes the
// program, so its PID is the program's.
func (n *Namespace) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + n.Path}, args...)...) //nolint:gosec // running programs is the purpose
	cmd.WaitDelay = 2 * time.Second                                                             // a grandchild may hold the pipes
	return cmd
}

// Stop asks the program to end with SIGTERM, kills it after 5 s, and waits for its end. One that
// has ended is fine.
func (p *Process) Stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // an error only for one that has ended
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// Await calls f every 10 ms until it returns nil. It fails when the program ends before, or ctx
// does, and says how f failed and what the program printed last.
func (p *Process) Await(ctx context.Context, f func() error) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%w; ended: %w: %s", err, p.err, p.tail())
		case <-ctx.Done():
			return fmt.Errorf("%w; %w: %s", err, ctx.Err(), p.tail())
		case <-tick.C:
		}
	}
}

func (p *Process) tail() string {
	const most = 2000
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-most):])
}
