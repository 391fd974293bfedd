package confine

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// The folders of the host that a plugin has (config.json).
const (
	runTree   = "/run"
	etcTree   = "/etc"
	stateTree = "/var/lib"
)

// ErrState is that the state folder is not there and cannot be made.
var ErrState = errors.New("the state folder cannot be made")

// Enter runs this program anew, with the same arguments and environment, in a mount namespace
// that has of the host what f names, and with no more capabilities than Needed. It returns nil
// at once in a process that has no CAP_SYS_ADMIN, as after that, and otherwise only when it
// fails: then nothing has changed. ErrState is worth another try.
func Enter(f Folders) error {
	held, err := heldBy()
	if err != nil || !held.has(unix.CAP_SYS_ADMIN) {
		return err
	}
	program, err := os.Executable() // by its name, which is the process's
	if err != nil {
		return fmt.Errorf("find the own program: %w", err)
	}
	return f.inNamespace(func(b builder) error {
		if err := b.all(); err != nil {
			return err
		}
		if err := reduce(held); err != nil {
			return err
		}
		return fmt.Errorf("run %s anew: %w", program, syscall.Exec(program, os.Args, os.Environ())) //nolint:gosec // itself
	})
}

// MakeState makes the state folder if it is missing, as Enter does. In a process that has no
// CAP_SYS_ADMIN it returns nil at once.
func MakeState(f Folders) error {
	if held, err := heldBy(); err != nil || !held.has(unix.CAP_SYS_ADMIN) {
		return err
	}
	return f.inNamespace(builder.makeState)
}

// inNamespace calls do on a thread with a mount namespace of its own; both end with it.
func (f Folders) inNamespace(do func(builder) error) error {
	failed := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		failed <- f.open(do)
	}()
	return <-failed
}

// open gives the calling thread the mount namespace.
func (f Folders) open(do func(builder) error) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make a mount namespace: %w", err)
	}
	// Nothing that is done here is done in the namespace that this one was made of.
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("keep mounts from the namespace of the engine: %w", err)
	}
	before, err := mounts()
	if err != nil {
		return err
	}
	old, err := unix.Open(f.Prefix, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", f.Prefix, err)
	}
	defer unix.Close(old) //nolint:errcheck // nothing was written
	return do(builder{Folders: f, old: "/proc/thread-self/fd/" + strconv.Itoa(old), before: before})
}
