package testbed

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Processes returns the IDs, in the machine, of the processes whose program has exactly this name,
// those in containers and plugins included; none is no error.
func (m *Machine) Processes(ctx context.Context, program string) ([]int, error) {
	out, err := m.Run(ctx, "sh", "-c", `pgrep -x "$1" || [ $? -eq 1 ]`, "pgrep", program)
	if err != nil {
		return nil, err
	}
	var pids []int
	for field := range strings.FieldsSeq(out) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			return nil, fmt.Errorf("%s: processes of %s: %w", m.name, program, err)
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// KillProcesses kills processes at once with SIGKILL.
func (m *Machine) KillProcesses(ctx context.Context, pids ...int) error {
	args := []string{"kill", "-KILL"}
	for _, pid := range pids {
		args = append(args, strconv.Itoa(pid))
	}
	_, err := m.Run(ctx, args...)
	return err
}

// KillPrograms kills every process of the named programs with SIGKILL, all at once. It fails if one
// of the programs does not run.
func (m *Machine) KillPrograms(ctx context.Context, programs ...string) error {
	var all []int
	for _, program := range programs {
		pids, err := m.Processes(ctx, program)
		if err != nil {
			return err
		}
		if len(pids) == 0 {
			return fmt.Errorf("%s: kill %s: it does not run", m.name, program)
		}
		all = append(all, pids...)
	}
	return m.KillProcesses(ctx, all...)
}

// ProcessStarted is when a process of the machine was started, to a hundredth of a second.
func (m *Machine) ProcessStarted(pid int) (time.Time, error) {
	const (
		ticks   = 100 // in a second, of starttime (proc_pid_stat(5))
		started = 22 - 3
	)
	fail := func(err error) (time.Time, error) {
		return time.Time{}, fmt.Errorf("%s: start of process %d: %w", m.name, pid, err)
	}
	read := time.Now()
	uptime, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return fail(err)
	}
	stat, err := os.ReadFile(m.Path("/proc/" + strconv.Itoa(pid) + "/stat"))
	if err != nil {
		return fail(err)
	}
	now, _, _ := strings.Cut(string(uptime), " ")
	seconds, err := strconv.ParseFloat(now, 64)
	if err != nil {
		return fail(err)
	}
	// The name, in parentheses, may hold anything; what follows it begins with field 3.
	fields := strings.Fields(string(stat)[strings.LastIndex(string(stat), ")")+1:])
	if len(fields) <= started {
		return fail(fmt.Errorf("/proc has %q", stat))
	}
	start, err := strconv.ParseFloat(fields[started], 64)
	if err != nil {
		return fail(err)
	}
	return read.Add(-time.Duration((seconds - start/ticks) * float64(time.Second))), nil
}
