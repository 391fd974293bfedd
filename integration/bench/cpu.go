package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// usage is what the machine's processors have done up to a moment.
type usage struct {
	at   time.Time
	own  time.Duration // by the bench's processes and by the kernel's threads for softirqs
	idle time.Duration // of all processors
	cpus int
}

const (
	// outerProc is /proc as it is outside of the bench's PID namespace, where the kernel's threads
	// are: a descriptor that launch hands down.
	outerProc = "/proc/self/fd/3"
	procTick  = 10 * time.Millisecond // the unit of /proc/stat and /proc/PID/stat
)

// readUsage reads what the machine and the bench's own processes have used. What softirqs do in the time of a process is counted as that process's, and ksoftirqd is
// added; what they do in the time of nobody is left out. The kernel measures all these with its
// clock, unlike user, system and softirq in /proc/stat, which are samples of the tick. The time of a
// program that has ended is its parent's. Idle time, by the clock too, tells how quiet the machine is.
func readUsage() (usage, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return usage{}, err
	}
	u, err := parseUsage(string(b))
	if err != nil {
		return usage{}, err
	}
	u.at = time.Now()
	for dir, counts := range map[string]func(name string) bool{
		"/proc":   func(string) bool { return true },
		outerProc: func(name string) bool { return strings.HasPrefix(name, "ksoftirqd/") },
	} {
		files, err := filepath.Glob(dir + "/[0-9]*/stat")
		if err != nil {
			return usage{}, err
		}
		for _, file := range files {
			b, err := os.ReadFile(file) //nolint:gosec // the kernel's
			if err != nil {
				continue // it has ended
			}
			name, used, err := parseProcess(string(b))
			if err != nil {
				return usage{}, fmt.Errorf("%s: %w", file, err)
			}
			if counts(name) {
				u.own += used
			}
		}
	}
	return u, nil
}

// parseUsage reads /proc/stat, proc_stat(5).
func parseUsage(stat string) (usage, error) {
	const idle, iowait = 4, 5 // fields of a line
	u := usage{}
	for line := range strings.Lines(stat) {
		fields := strings.Fields(line)
		if len(fields) <= iowait || !strings.HasPrefix(fields[0], "cpu") || fields[0] == "cpu" {
			continue
		}
		u.cpus++
		ticks, err := sum(fields[idle : iowait+1])
		if err != nil {
			return usage{}, err
		}
		u.idle += ticks
	}
	if u.cpus == 0 {
		return usage{}, errors.New("/proc/stat names no processor")
	}
	return u, nil
}

// parseProcess returns the name of a process, and the time that it and those of its children that have
// ended have used, from /proc/PID/stat, proc_pid_stat(5).
func parseProcess(stat string) (name string, used time.Duration, err error) {
	const utime, cstime = 14 - 3, 17 - 3 // fields after the name, which is the second
	begin, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if begin < 0 || end < begin {
		return "", 0, fmt.Errorf("no name in %q", stat)
	}
	fields := strings.Fields(stat[end+1:])
	if len(fields) <= cstime {
		return "", 0, fmt.Errorf("too short: %q", stat)
	}
	used, err = sum(fields[utime : cstime+1])
	return stat[begin+1 : end], used, err
}

func sum(ticks []string) (time.Duration, error) {
	var all time.Duration
	for _, field := range ticks {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		all += time.Duration(n) * procTick
	}
	return all, nil
}

// load is how many processors were busy over a while.
type load struct{ own, all float64 }

// quiet is how many processors others may keep busy, for the machine to count as quiet.
const quiet = 0.2

// above returns by how much a load is above another, while nothing is measured. It is that of all
// processes and softirqs of the machine, or, if others are at work there, of the bench's own.
func (l load) above(idle load) float64 {
	if idle.all-idle.own > quiet {
		return l.own - idle.own
	}
	return l.all - idle.all
}

// loadSince returns the load since an earlier moment.
func (u usage) loadSince(before usage) load {
	took := u.at.Sub(before.at).Seconds()
	return load{
		own: (u.own - before.own).Seconds() / took,
		all: float64(u.cpus) - (u.idle-before.idle).Seconds()/took,
	}
}

// idleLoad is the load while nothing is measured.
func idleLoad(ctx context.Context) (load, error) {
	before, err := readUsage()
	if err != nil {
		return load{}, err
	}
	select {
	case <-time.After(2 * time.Second):
	case <-ctx.Done():
		return load{}, ctx.Err()
	}
	after, err := readUsage()
	if err != nil {
		return load{}, err
	}
	return after.loadSince(before), nil
}
