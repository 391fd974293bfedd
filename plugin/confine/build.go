package confine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// harmless are flags of mounts on which there are neither programs nor devices.
const harmless = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// emptyFolder and emptyFile are what is put on what is hidden.
const (
	emptyFolder = "/.hidden/folder"
	emptyFile   = "/.hidden/file"
)

// builder puts the new tree over the prefix, where the old one is still reached by a
// descriptor.
type builder struct {
	Folders
	old    string
	before []mount
}

func (b builder) all() error {
	if err := b.makeFolders(); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", b.Prefix, "tmpfs", harmless, "mode=0755,size=256k"); err != nil {
		return fmt.Errorf("mount an empty tree: %w", err)
	}
	for _, dir := range []string{runTree, etcTree, stateTree, emptyFolder} {
		if err := os.MkdirAll(b.Prefix+dir, 0o755); err != nil { //nolint:gosec // as on the host
			return err
		}
	}
	if err := os.WriteFile(b.Prefix+emptyFile, nil, 0o400); err != nil {
		return err
	}
	for _, step := range []func() error{b.etc, b.run, b.state, b.leave} {
		if err := step(); err != nil {
			return err
		}
	}
	return b.remount("/", unix.MS_RDONLY)
}

// makeFolders makes what is missing. Without the state folder there is nothing to confine to.
func (b builder) makeFolders() error {
	if err := b.makeState(); err != nil {
		return err
	}
	for _, dir := range b.Writable {
		_ = os.MkdirAll(b.old+dir, 0o700) // who writes there says why not
	}
	for _, dir := range b.Namespaces {
		_ = os.MkdirAll(b.old+dir, 0o755) //nolint:gosec // as the engine makes it
	}
	return nil
}

// makeState makes the state folder. That the engine's mount of what it lies in was read-only
// when the plugin started does not count, since the host's own may have become writable.
func (b builder) makeState() error {
	if isFolder(b.old + b.State) {
		return nil
	}
	for _, tree := range []string{runTree, stateTree} {
		if below(b.State, tree) {
			_ = unix.Mount("", b.old+tree, "", unix.MS_BIND|unix.MS_REMOUNT, "")
		}
	}
	err := os.MkdirAll(b.old+b.State, 0o700)
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		err = failed.Err // the path is another one on the host
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrState, b.State, err)
	}
	return nil
}

// etc mounts the host's, with all that is mounted in it, and nothing of it can be written.
func (b builder) etc() error {
	if err := b.bind(etcTree, unix.MS_REC); err != nil {
		return err
	}
	for _, m := range b.before {
		if at := under(b.Prefix, m.point); below(m.point, b.Prefix+etcTree) {
			if err := b.remount(at, unix.MS_RDONLY); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.EINVAL) {
				return err
			}
		}
	}
	if err := b.remount(etcTree, unix.MS_RDONLY); err != nil {
		return err
	}
	for _, p := range b.hiddenOfEtc() {
		info, err := os.Lstat(b.Prefix + p)
		if err != nil || !info.IsDir() && !info.Mode().IsRegular() {
			continue
		}
		if err := b.hide(p, info.IsDir()); err != nil {
			return err
		}
	}
	return nil
}

// run mounts the host's /run so that it can only be read, and what is made anew in it is
// found: sockets, and what /etc/resolv.conf leads to. What is mounted in it is not there, except
// for what is used.
func (b builder) run() error {
	if err := b.bindAlone(runTree); err != nil {
		return err
	}
	for _, m := range b.before {
		at := under(b.Prefix, m.point)
		if at != runTree && below(m.point, b.Prefix+runTree) && b.fateOf(at) == descend {
			if err := b.bindAlone(at); err != nil {
				return err
			}
		}
	}
	if err := b.hideIn(runTree); err != nil {
		return err
	}
	for _, dir := range b.Namespaces {
		if below(dir, runTree) && isFolder(b.Prefix+dir) {
			if err := errors.Join(b.bind(dir, unix.MS_REC), b.remount(dir, unix.MS_RDONLY)); err != nil {
				return err
			}
		}
	}
	return b.writable(runTree)
}

// state mounts those folders of /var/lib that are used.
func (b builder) state() error {
	for _, dir := range b.outside() {
		if !isFolder(b.old + dir) {
			continue
		}
		if err := os.MkdirAll(b.Prefix+dir, 0o755); err != nil { //nolint:gosec // as on the host
			return err
		}
		if err := errors.Join(b.bind(dir, unix.MS_REC), b.remount(dir, unix.MS_RDONLY)); err != nil {
			return err
		}
	}
	return b.writable(stateTree)
}

// writable mounts the folders of a tree that are written to.
func (b builder) writable(tree string) error {
	for _, dir := range append([]string{b.State}, b.Writable...) {
		if !below(dir, tree) || !isFolder(b.old+dir) {
			continue
		}
		if tree == stateTree {
			if err := os.MkdirAll(b.Prefix+dir, 0o755); err != nil { //nolint:gosec // as on the host
				return err
			}
		}
		if err := errors.Join(b.bind(dir, unix.MS_REC), b.remount(dir, 0)); err != nil {
			return err
		}
	}
	return nil
}

// hideIn hides the folders and sockets of a folder that are not used.
func (b builder) hideIn(dir string) error {
	entries, err := os.ReadDir(b.Prefix + dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		p := path.Join(dir, e.Name())
		if !e.IsDir() && e.Type() != fs.ModeSocket {
			continue
		}
		switch what := b.fateOf(p); {
		case what == keep:
		case what == descend && e.IsDir():
			err = b.hideIn(p)
		default:
			err = b.hide(p, e.IsDir())
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// leave gives up the host's folders as the engine has mounted them.
func (b builder) leave() error {
	for _, dir := range []string{runTree, etcTree, stateTree} {
		if err := unix.Unmount(b.old+dir, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("give up %s: %w", dir, err)
		}
	}
	return nil
}

// bind mounts what the host has at a path.
func (b builder) bind(at string, flags uintptr) error {
	if err := unix.Mount(b.old+at, b.Prefix+at, "", unix.MS_BIND|flags, ""); err != nil {
		return fmt.Errorf("mount %s: %w", at, err)
	}
	return nil
}

// bindAlone is bind without what is mounted there, now and later, and only to be read.
func (b builder) bindAlone(at string) error {
	if err := b.bind(at, 0); err != nil {
		return err
	}
	if err := unix.Mount("", b.Prefix+at, "", unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep later mounts from %s: %w", at, err)
	}
	return b.remount(at, unix.MS_RDONLY)
}

func (b builder) remount(at string, flags uintptr) error {
	if err := unix.Mount("", filepath.Join(b.Prefix, at), "", unix.MS_BIND|unix.MS_REMOUNT|harmless|flags, ""); err != nil {
		return fmt.Errorf("change the mount of %s: %w", at, err)
	}
	return nil
}

// hide puts something empty on a path.
func (b builder) hide(at string, folder bool) error {
	empty := emptyFile
	if folder {
		empty = emptyFolder
	}
	if err := unix.Mount(b.Prefix+empty, b.Prefix+at, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("hide %s: %w", at, err)
	}
	return b.remount(at, unix.MS_RDONLY)
}

func isFolder(p string) bool {
	info, err := os.Stat(p)
	return err == nil && info.IsDir()
}
