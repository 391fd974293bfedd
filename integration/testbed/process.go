package testbed

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process is a program that goes on running in a machine. It ends at the latest with the machine.
type Process struct {
	machine *Machine
	name    string
	cmd     *exec.Cmd
	pid     int
	log     string
	done    chan struct{}
	err     error // valid once done is closed
}

// Start starts a program and appends what it prints to the log MACHINE-NAME.log. ctx bounds the
// start only. The program is in the machine's cgroups.
func (m *Machine) Start(ctx context.Context, name string, args ...string) (*Process, error) {
	p := &Process{
		machine: m, name: name, done: make(chan struct{}),
		log: filepath.Join(m.lab.LogDir(), m.name+"-"+name+".log"),
	}
	fail := func(err error) (*Process, error) { return nil, fmt.Errorf("%s: start %s: %w", m.name, name, err) }
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fail(err)
	}
	defer log.Close() //nolint:errcheck // the program has its own descriptor
	in, out, err := os.Pipe()
	if err != nil {
		return fail(err)
	}
	defer in.Close() //nolint:errcheck // only read from

	// The shell tells its PID in the machine, then becomes the program.
	tell := append([]string{"sh", "-c", `echo $$ >&3; exec "$@" 3>&-`, "sh"}, args...)
	p.cmd = m.inCgroups(m.command(context.WithoutCancel(ctx), tell))
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.ExtraFiles = []*os.File{out}
	m.lab.mu.Lock()
	if m.lab.closed {
		err = errClosed
	} else if err = m.lab.spawn.start(p.cmd); err == nil {
		m.lab.waiters.Add(1)
	}
	m.lab.mu.Unlock()
	err = errors.Join(err, out.Close())
	if p.cmd.Process == nil {
		return fail(err)
	}
	go func() { // ends with the program; Lab.Close waits for it
		defer m.lab.waiters.Done()
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	line, err := bufio.NewReader(in).ReadString('\n')
	if err == nil {
		p.pid, err = strconv.Atoi(strings.TrimSpace(line))
	}
	if err != nil {
		<-p.done
		return fail(errors.Join(p.err, errors.New(p.logTail())))
	}
	return p, nil
}

// inCgroups makes a command join the machine's cgroups on the way in. It costs some milliseconds,
// so only programs that stay do it; the others are found through their PID namespace.
func (m *Machine) inCgroups(cmd *exec.Cmd) *exec.Cmd {
	const join = `while read -r _ at type _; do
  case $type in
    cgroup) echo 0 >"$at/$0/cgroup.procs" ;;
    cgroup2) [ -d "$at/$0/init" ] && echo 0 >"$at/$0/init/cgroup.procs" || echo 0 >"$at/$0/cgroup.procs" ;;
  esac
done </proc/self/mounts
exec "$@"`
	cmd.Args = append([]string{"sh", "-euc", join, filepath.Join(m.lab.id, m.name)}, cmd.Args...)
	cmd.Path = "/bin/sh"
	return cmd
}

// PID is the program's process ID in its machine.
func (p *Process) PID() int { return p.pid }

// Log is the file with what it printed.
func (p *Process) Log() string { return p.log }

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says why it ended; nil while it runs, and for exit status 0.
func (p *Process) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Signal sends a signal named as kill(1) does: TERM, KILL, STOP. An ended program is an error.
func (p *Process) Signal(ctx context.Context, signal string) error {
	_, err := p.machine.Run(ctx, "kill", "-"+signal, strconv.Itoa(p.pid))
	if signal != "STOP" {
		// nsenter stops with the program it waits for, and then sees neither its going
		// on nor its end.
		if stuck := p.cmd.Process.Signal(syscall.SIGCONT); !errors.Is(stuck, os.ErrProcessDone) {
			err = errors.Join(err, stuck)
		}
	}
	return err
}

// Stop asks the program to end with the signal, waits, and kills it when ctx ends or after a minute.
// A program that has ended is fine.
func (p *Process) Stop(ctx context.Context, signal string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err := p.Signal(ctx, signal) // fails for a program that has just ended
	if err == nil || ctx.Err() == nil {
		select {
		case <-p.done:
			return nil
		case <-ctx.Done():
		}
	}
	err = errors.Join(err, ctx.Err(), p.cmd.Process.Kill()) // the program dies with the way in
	<-p.done
	return fmt.Errorf("%s: %s does not end, killed: %w", p.machine.name, p.name, err)
}

// await calls f every 50 ms until it returns nil. When the program ends before, or ctx does, the
// error says what was missing.
func (p *Process) await(ctx context.Context, f func() error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s: %s ended (%w): %s", p.machine.name, p.name, exit(p.err), p.logTail())
		case <-ctx.Done():
			return fmt.Errorf("%s: %s is not ready: %w: %w: %s", p.machine.name, p.name, ctx.Err(), err, p.logTail())
		case <-tick.C:
		}
	}
}

func exit(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

func (p *Process) logTail() string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return tail(string(data))
}
