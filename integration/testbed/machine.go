package testbed

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

//go:embed machine.sh
var machineScript string

// searchPath is the PATH of everything that runs in a machine, and of the scripts around it.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// SharedDir is where a machine sees its directory Machine.Shared of the host.
const SharedDir = "/lab"

// Machine is one computer: namespaces of its own, a Debian root that it can write, an init process.
// The binary of integration/probe is on its PATH as probe.
type Machine struct {
	lab      *Lab
	name     string
	dir      string
	init     *exec.Cmd
	pid      int // of the init, as the host sees it
	dead     atomic.Bool
	captures atomic.Uint64 // made so far: their names
	ends     sync.Once
}

// newMachine starts a machine that has loopback only. Its root is an unpacked Debian tree, the lab's
// if none is given.
func newMachine(ctx context.Context, l *Lab, name, tree string) (*Machine, error) {
	tree, err := findTree(withDefault(tree, l.tree))
	if err != nil {
		return nil, fmt.Errorf("machine %s: %w", name, err)
	}
	m := &Machine{lab: l, name: name, dir: filepath.Join(l.dir, name)}
	script := filepath.Join(m.dir, "machine.sh")
	m.init = exec.Command("/bin/sh", script) //nolint:gosec // our own script
	m.init.Env = []string{
		"PATH=" + searchPath, "LC_ALL=C.UTF-8",
		"LAB=" + l.id, "NAME=" + name, "TREE=" + tree, "DIR=" + m.dir, "PROBE=" + l.probe,
	}
	m.init.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET |
			syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
	}
	var stderr bytes.Buffer
	m.init.Stderr = &stderr
	stdout, err := m.init.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("machine %s: %w", name, err)
	}

	if err := l.boot(m, script); err != nil {
		return nil, fmt.Errorf("machine %s: %w", name, err)
	}
	m.pid = m.init.Process.Pid

	defer context.AfterFunc(ctx, m.kill)()
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "ready\n" {
		m.kill()
		m.wait()
		return nil, fmt.Errorf("machine %s does not start: %w: %s", name,
			errors.Join(err, ctx.Err()), strings.TrimSpace(stderr.String()))
	}
	return m, nil
}

// boot starts a machine's init. Close finds the machine, or the machine finds the lab closed and
// leaves no file in it.
func (l *Lab) boot(m *Machine, script string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errClosed
	}
	for _, d := range []string{"root", "docker", "share"} {
		if err := os.MkdirAll(filepath.Join(m.dir, d), 0o750); err != nil {
			return err
		}
	}
	if err := os.WriteFile(script, []byte(machineScript), 0o600); err != nil {
		return err
	}
	if err := l.spawn.start(m.init); err != nil {
		return err
	}
	l.machines = append(l.machines, m)
	return nil
}

// kill ends everything in the machine at once: PID 1 of a PID namespace takes all others with it.
func (m *Machine) kill() {
	m.dead.Store(true)
	// Only an error for a process that has ended already.
	_ = m.init.Process.Kill()
}

func (m *Machine) wait() {
	m.ends.Do(func() { _ = m.init.Wait() }) // it was killed: that is no news
}

// Name is the machine's host name.
func (m *Machine) Name() string { return m.name }

// Shared is a directory of the host that the machine sees as SharedDir.
func (m *Machine) Shared() string { return filepath.Join(m.dir, "share") }

// Path is where this process finds an absolute path of the machine. Symbolic links with absolute
// targets lead out of the machine: name the target itself.
func (m *Machine) Path(p string) string {
	return filepath.Join("/proc", strconv.Itoa(m.pid), "root", p)
}

// Shell is a command line of this host that opens a shell in the machine, for a person who wants to
// look around while the lab is open.
func (m *Machine) Shell() string {
	return fmt.Sprintf("nsenter --target %d --mount --uts --ipc --net --pid --cgroup bash", m.pid)
}

// Run runs a program in the machine until it ends, or is killed when ctx ends, and returns its
// standard output without the last newline. Its standard error is part of the error.
func (m *Machine) Run(ctx context.Context, args ...string) (string, error) {
	return m.Pipe(ctx, nil, args...)
}

// Script runs a shell script that stops at the first failure.
func (m *Machine) Script(ctx context.Context, script string) (string, error) {
	return m.Run(ctx, "sh", "-euc", script)
}

// Pipe is Run with a standard input.
func (m *Machine) Pipe(ctx context.Context, stdin io.Reader, args ...string) (string, error) {
	cmd := m.command(ctx, args)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &stdout, &stderr
	err := errClosed
	if !m.dead.Load() { // its PID may be another's by now
		err = m.lab.spawn.start(cmd)
	}
	if err == nil {
		err = cmd.Wait()
	}
	out := strings.TrimSuffix(stdout.String(), "\n")
	if err != nil {
		return out, &CommandError{Machine: m.name, Args: args, Stderr: tail(stderr.String()), Err: errors.Join(ctx.Err(), err)}
	}
	return out, nil
}

// command enters the machine's namespaces. The program dies with the process that entered, so an
// ended context ends the program itself and not only the way to it.
func (m *Machine) command(ctx context.Context, args []string) *exec.Cmd {
	argv := append([]string{
		"--target", strconv.Itoa(m.pid), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup",
		"setpriv", "--pdeathsig", "KILL",
	}, args...)
	cmd := exec.CommandContext(ctx, "nsenter", argv...) //nolint:gosec // running what a test asks for is the purpose
	cmd.Env = []string{"PATH=" + searchPath, "HOME=/root", "LC_ALL=C.UTF-8"}
	cmd.WaitDelay = 2 * time.Second // a grandchild may hold the pipes
	return cmd
}

// WriteFile writes a file of the machine, whole or not at all, and makes the folders above it.
func (m *Machine) WriteFile(ctx context.Context, name string, data []byte, mode os.FileMode) error {
	_, err := m.Pipe(ctx, bytes.NewReader(data), "sh", "-euc",
		`mkdir -p "$2"; cat >"$1.new"; chmod "$3" "$1.new"; mv "$1.new" "$1"`,
		"write", name, path.Dir(name), strconv.FormatUint(uint64(mode.Perm()), 8))
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// CommandError says that a program in a machine failed.
type CommandError struct {
	Machine string
	Args    []string
	Stderr  string // its end
	Err     error  // *exec.ExitError, or the context's error joined with it
}

func (e *CommandError) Error() string {
	s := fmt.Sprintf("%s: %s: %v", e.Machine, strings.Join(e.Args, " "), e.Err)
	if e.Stderr != "" {
		s += ": " + e.Stderr
	}
	return s
}

func (e *CommandError) Unwrap() error { return e.Err }

// tail keeps the end of an output, where errors are.
func tail(s string) string {
	const most = 2000
	s = strings.TrimSpace(s)
	if len(s) > most {
		s = "…" + s[len(s)-most:]
	}
	return s
}
