package ovs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// startTimeout bounds how long a daemon may take until it answers.
	startTimeout = 10 * time.Second
	// pollInterval is how often it is asked meanwhile.
	pollInterval = 20 * time.Millisecond
	// minUptime is the age a machine must have before ovs-vswitchd may start:
	// it counts processors through a cache of 10 s that is taken for filled at
	// boot, and runs no handler threads if started earlier.
	minUptime = 10500 * time.Millisecond
	// recreateAfter is the number of quick deaths of the database server after
	// which its file is made anew, as it is at once when it is gone.
	recreateAfter = 2
)

// own is a database server and a switch as child processes.
type own struct {
	s        *Switch
	c        Config
	file     string // the database
	database *daemon
	vswitch  *daemon
}

// startOwn starts both and waits until the switch has read the database.
func (s *Switch) startOwn(ctx context.Context, c Config) error {
	s.info.Own = true
	s.programs.runDir = c.RunDir
	o := &own{s: s, c: c, file: filepath.Join(c.StateDir, "ovs.db")}
	if err := o.check(ctx); err != nil {
		return err
	}
	o.describe()

	// Ended in the other order: the switch takes its devices down while the
	// database is still there.
	s.vswitchd = o.vswitch
	lifetime := context.WithoutCancel(ctx)
	stopDatabase := supervise(lifetime, o.database)
	if err := o.configure(ctx); err != nil {
		stopDatabase()
		return err
	}
	stopSwitch := supervise(lifetime, o.vswitch)
	s.stop = sync.OnceFunc(func() { stopSwitch(); stopDatabase() })
	if err := o.ready(ctx); err != nil {
		s.stop()
		return err
	}
	s.log.WithField("datapath", s.info.Datapath).WithField("version", s.info.Version).Info("evio's own Open vSwitch is running")
	return nil
}

// supervise runs a daemon and returns what ends it and waits for it.
func supervise(ctx context.Context, d *daemon) func() {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() { d.run(ctx) })
	return func() { cancel(); done.Wait() }
}

// check makes sure that everything needed is there, makes a database and waits
// until the machine is old enough.
func (o *own) check(ctx context.Context) error {
	for _, name := range []string{"ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "ovs-ofctl", "ovs-appctl"} {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%s is not on PATH: install Open vSwitch, or give the run directory of the host's", name)
		}
	}
	if _, err := os.Stat(o.c.SchemaFile); err != nil {
		return fmt.Errorf("the database's schema: %w: install Open vSwitch, or name the file", err)
	}
	for _, dir := range []string{o.c.RunDir, o.c.StateDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make a folder for it: %w: choose a run directory that can be written to", err)
		}
	}
	if err := o.create(ctx); err != nil {
		return err
	}
	version, err := o.s.programs.run(ctx, nil, "ovs-vswitchd", "--version")
	if err != nil {
		return err
	}
	o.s.info.Version = parseVersion(string(version))
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("read the machine's age: %w", err)
	}
	return pause(ctx, minUptime-time.Duration(now.Nano()))
}

// parseVersion finds the version in what the switch prints about itself.
func parseVersion(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	if fields := strings.Fields(line); len(fields) > 0 {
		return fields[len(fields)-1]
	}
	return "unknown"
}

// create makes an empty database.
func (o *own) create(ctx context.Context) error {
	lock := filepath.Join(filepath.Dir(o.file), "."+filepath.Base(o.file)+".~lock~")
	for _, name := range []string{o.file, lock} {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	_, err := o.s.programs.run(ctx, nil, "ovsdb-tool", "create", o.file, o.c.SchemaFile)
	return err
}

// describe says how both daemons are run.
func (o *own) describe() {
	p, log := o.s.programs, o.s.log
	quiet := []string{"-vconsole:info", "-vsyslog:off", "-vfile:off", logPattern}
	control := func(name string) string { return "--unixctl=" + filepath.Join(o.c.RunDir, name+".ctl") }
	quit := func(name string, args ...string) func(context.Context) error {
		return func(ctx context.Context) error {
			target := "--target=" + filepath.Join(o.c.RunDir, name+".ctl")
			_, err := p.run(ctx, nil, "ovs-appctl", append([]string{"--timeout=3", target, "exit"}, args...)...)
			return err
		}
	}
	pid := func(name string) string { return "--pidfile=" + filepath.Join(o.c.RunDir, name+".pid") }
	o.database = &daemon{
		programs: p, log: log.WithField("program", "ovsdb-server"),
		argv: append([]string{
			"ovsdb-server", o.file, "--remote=punix:" + p.databaseSocket(), control("ovsdb-server"), pid("ovsdb-server"),
		}, quiet...),
		quit: quit("ovsdb-server"),
		prepare: func(ctx context.Context, failures int) error {
			if _, err := os.Stat(o.file); err == nil && failures < recreateAfter {
				return nil
			}
			return o.create(ctx)
		},
		again: func(ctx context.Context) {
			if err := o.configure(ctx); err != nil {
				log.WithError(err).Warn("the database does not come back")
			}
			o.s.noteRestart()
		},
	}
	o.vswitch = &daemon{
		programs: p, log: log.WithField("program", "ovs-vswitchd"),
		argv:    append([]string{"ovs-vswitchd", p.database(), control("ovs-vswitchd"), pid("ovs-vswitchd")}, quiet...),
		prepare: func(context.Context, int) error { return nil },
		again:   func(context.Context) { o.s.noteRestart() },
		quit:    quit("ovs-vswitchd", "--cleanup"),
	}
}

// configure waits for the database and writes what the switch reads at its start.
// Segmentation in user space makes frames between containers eight times cheaper
// and keeps their checksums right; it must be set before there are ports.
func (o *own) configure(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for o.s.programs.answers(ctx) != nil {
		if err := pause(ctx, pollInterval); err != nil {
			return fmt.Errorf("ovsdb-server does not answer: %w", errors.Join(err, o.database.failure()))
		}
	}
	args := []string{"init"}
	if o.s.info.Datapath == DatapathNetdev {
		args = append(args, "--", "set", "Open_vSwitch", ".", "other_config:userspace-tso-enable=true")
	}
	return o.s.programs.vsctlNow(ctx, args...)
}

// ready waits until the switch has read its configuration.
func (o *own) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := o.s.programs.vsctl(ctx, "set", "Open_vSwitch", ".", "external_ids:evio=own"); err != nil {
		return errors.Join(fmt.Errorf("ovs-vswitchd does not answer: %w", err), o.vswitch.failure())
	}
	return nil
}

// pause waits, unless the context ends before.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
