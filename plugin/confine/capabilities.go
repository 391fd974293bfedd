package confine

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Needed are the capabilities that the plugin has use for when it is confined; docs/SECURITY.md
// has the reasons.
var Needed = []string{"CAP_BPF", "CAP_DAC_OVERRIDE", "CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW"}

// names are those of linux/capability.h, by number.
var names = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
	"CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW",
	"CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT",
	"CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD",
	"CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG",
	"CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
}

// set is a set of capabilities, a bit each.
type set uint64

func (s set) has(capability int) bool { return s&(1<<capability) != 0 }

// list returns the names, sorted; a capability without one is given by its number.
func (s set) list() []string {
	var all []string
	for n := range 64 {
		switch {
		case !s.has(n):
		case n < len(names):
			all = append(all, names[n])
		default:
			all = append(all, strconv.Itoa(n))
		}
	}
	slices.Sort(all)
	return all
}

// needed is Needed as a set.
func needed() set {
	var s set
	for n, name := range names {
		if slices.Contains(Needed, name) {
			s |= 1 << n
		}
	}
	return s
}

// heldBy returns every capability that this thread has or can get.
func heldBy() (set, error) {
	text, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		return 0, fmt.Errorf("read capabilities: %w", err)
	}
	return parseHeld(string(text))
}

// parseHeld joins the sets of proc_pid_status(5): inheritable, permitted, effective, bounding
// and ambient.
func parseHeld(status string) (set, error) {
	var held set
	found := 0
	for line := range strings.Lines(status) {
		name, digits, _ := strings.Cut(strings.TrimSpace(line), ":")
		if !slices.Contains([]string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}, name) {
			continue
		}
		bits, err := strconv.ParseUint(strings.TrimSpace(digits), 16, 64)
		if err != nil {
			return 0, fmt.Errorf("read capabilities: %s: %w", name, err)
		}
		found++
		held |= set(bits)
	}
	if found == 0 {
		return 0, errors.New("read capabilities: the kernel reports none")
	}
	return held, nil
}

// reduce takes from the calling thread all capabilities that are not needed, so that no
// program that it runs has them.
func reduce(held set) error {
	for n := range 64 {
		if held.has(n) && !needed().has(n) {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(n), 0, 0, 0); err != nil {
				return fmt.Errorf("give up %s: %w", set(1 << n).list()[0], err)
			}
		}
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	for i := range data {
		rest := uint32(needed() >> (32 * i))
		data[i].Permitted &= rest
		data[i].Effective = data[i].Permitted
		data[i].Inheritable = 0 // root gets what is bounding
	}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("give up capabilities: %w", err)
	}
	left, err := heldBy()
	if err == nil && left&^needed() != 0 {
		err = fmt.Errorf("give up capabilities: %s are left", strings.Join((left&^needed()).list(), ", "))
	}
	return err
}
