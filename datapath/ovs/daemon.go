package ovs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"

	"evio/internal/backoff"
)

const (
	// A daemon that lived this long did not fail to start.
	settled = 5 * time.Second
	// Pauses before it is started again.
	firstPause = 100 * time.Millisecond
	maxPause   = 5 * time.Second
	// stopTimeout is how long a daemon has to end when asked.
	stopTimeout = 5 * time.Second
)

// daemon is a child process that is started again when it ends. It dies with this
// process, whatever ends that.
type daemon struct {
	programs programs
	log      *logrus.Entry
	argv     []string
	// prepare is called before each start with the number of quick deaths before.
	prepare func(ctx context.Context, failures int) error
	// again is called after each start but the first; its context ends with the
	// process.
	again func(ctx context.Context)
	// quit asks the process to end; nil or failing: SIGTERM.
	quit func(ctx context.Context) error

	pid  atomic.Int64 // of the process; 0: none runs
	mu   sync.Mutex   // guards last
	last error        // why it last ended
}

// run keeps the daemon alive until the context ends, then ends it and waits for it.
func (d *daemon) run(ctx context.Context) {
	pauses := backoff.Exponential{First: firstPause, Last: maxPause}
	for failures, starts := 0, 0; ; starts++ {
		began := time.Now()
		err := d.prepare(ctx, failures)
		if err == nil {
			err = d.live(ctx, starts > 0)
		}
		if ctx.Err() != nil {
			return
		}
		d.note(err)
		if failures++; time.Since(began) > settled {
			failures = 0
		}
		d.log.WithError(err).Warnf("%s ended: starting it again", d.argv[0])
		select {
		case <-ctx.Done():
			return
		case <-time.After(pauses.Pause(failures)):
		}
	}
}

// live starts the process once and returns when it has ended.
func (d *daemon) live(ctx context.Context, isAgain bool) error {
	// The kernel sends the death signal when the thread that started the child
	// ends, so a goroutine keeps that thread to itself as long as the child lives.
	ended := make(chan error, 1)
	lines := &logLines{log: d.log}
	alive, dead := context.WithCancel(ctx)
	defer dead()
	go func() {
		defer dead()
		runtime.LockOSThread()
		cmd := exec.CommandContext(ctx, d.argv[0], d.argv[1:]...) //nolint:gosec // fixed programs, no shell
		cmd.Env, cmd.Stdout, cmd.Stderr = d.programs.env(), lines, lines
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		cmd.WaitDelay = stopTimeout
		cmd.Cancel = func() error { return d.end(ctx, cmd) }
		err := cmd.Start()
		if err == nil {
			d.pid.Store(int64(cmd.Process.Pid))
			err = cmd.Wait()
			d.pid.Store(0)
		}
		ended <- err
	}()
	if isAgain && d.again != nil {
		d.again(alive)
	}
	err := <-ended
	if err == nil {
		err = errors.New("it ended by itself")
	}
	if complaint := lines.complaint(); complaint != "" {
		err = fmt.Errorf("%w: %s", err, complaint)
	}
	return err
}

// end asks the process to end, in the way it prefers.
func (d *daemon) end(ctx context.Context, cmd *exec.Cmd) error {
	if d.quit != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if d.quit(ctx) == nil {
			return nil
		}
	}
	return cmd.Process.Signal(syscall.SIGTERM)
}

func (d *daemon) note(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = err
}

// failure returns why the daemon last ended, if it did.
func (d *daemon) failure() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last
}

// logPattern makes the programs write lines that logLines can read.
const logPattern = "-vPATTERN:console:%p|%c|%m"

// maxLine bounds a line that has no end.
const maxLine = 4096

// logLines passes the lines that a program writes to the log: what it warns of as
// warnings, the rest for developers. It remembers the last warning.
type logLines struct {
	log *logrus.Entry

	mu   sync.Mutex // guards the rest; standard output and error share a writer
	rest []byte
	warn string
}

func (l *logLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, b...)
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte("\n"))
		if !ok {
			break
		}
		l.rest = rest
		l.lineLocked(string(line))
	}
	if len(l.rest) > maxLine {
		l.lineLocked(string(l.rest))
		l.rest = nil
	}
	return len(b), nil
}

func (l *logLines) lineLocked(line string) {
	level, rest, ok := strings.Cut(line, "|")
	module, message, _ := strings.Cut(rest, "|")
	switch {
	case line == "":
	case ok && (level == "INFO" || level == "DBG"):
		l.log.WithField("module", module).Trace(message)
	case ok && deviceGone(message):
		l.log.WithField("module", module).Debug(message)
	case ok && (level == "WARN" || level == "ERR" || level == "EMER"):
		l.warn = message
		l.log.WithField("module", module).Warn(message)
	default:
		l.warn = line
		l.log.Warn(line)
	}
}

// deviceGone recognises complaints about a device that disappeared, as those of
// containers do. Apply says so itself where it matters.
func deviceGone(message string) bool {
	return strings.HasSuffix(message, "No such device") || strings.HasSuffix(message, "Network is down")
}

func (l *logLines) complaint() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.warn
}
