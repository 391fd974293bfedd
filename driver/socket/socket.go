// Package socket listens on unix sockets that only root may use.
package socket

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// maxPath is what Linux allows in sockaddr_un, less its NUL and the suffix under
// which a socket is made.
const maxPath = 107 - len(newSuffix)

const newSuffix = ".new"

// dialTimeout bounds the question whether a socket that is in the way is alive.
const dialTimeout = time.Second

// Listen listens on path with mode 0600 and makes the folder if there is none
// (0700). A stale socket is replaced; one that still answers, or a file that is no
// socket, is an error. The socket appears under its name only when it has its mode
// and listens, and closing the listener removes it unless another has replaced it.
func Listen(path string) (net.Listener, error) {
	if len(path) > maxPath {
		return nil, fmt.Errorf("listen on %s: the path has %d bytes: choose one of at most %d", path, len(path), maxPath)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	if err := checkFree(path); err != nil {
		return nil, err
	}
	fresh := path + newSuffix
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: fresh, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	l.SetUnlinkOnClose(false)
	made, err := publish(fresh, path)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %s: %w", path, err), l.Close(), os.Remove(fresh))
	}
	return &listener{UnixListener: l, path: path, made: made}, nil
}

func checkFree(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listen on %s: %w", path, err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("listen on %s: a file that is no socket is in the way: remove it", path)
	}
	c, err := net.DialTimeout("unix", path, dialTimeout)
	if err != nil {
		return nil //nolint:nilerr // nobody answers: it is stale
	}
	_ = c.Close()
	return fmt.Errorf("listen on %s: another process serves it: stop that one first", path)
}

func publish(fresh, path string) (fs.FileInfo, error) {
	if err := os.Chmod(fresh, 0o600); err != nil {
		return nil, err
	}
	made, err := os.Lstat(fresh)
	if err != nil {
		return nil, err
	}
	return made, os.Rename(fresh, path)
}

type listener struct {
	*net.UnixListener
	path   string
	made   fs.FileInfo
	unlink sync.Once
}

func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

func (l *listener) Close() error {
	l.unlink.Do(func() {
		if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.made) {
			_ = os.Remove(l.path)
		}
	})
	return l.UnixListener.Close()
}
