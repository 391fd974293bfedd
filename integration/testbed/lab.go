package testbed

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/sirupsen/logrus"
)

//go:embed reaper.sh
var reaperScript string

// Options of a lab. The zero value is a good one.
type Options struct {
	Dir   string        // holds the labs, on a disk, not on tmpfs or overlayfs; default /var/cache/evio/labs
	Tree  string        // unpacked Debian tree; default $EVIO_TREE, otherwise /var/cache/evio/trixie
	XMPP  XMPPKind      // the XMPP server's kind; default Prosody
	Evio  string        // static evio binary for StartEvio; default $EVIO_BINARY, otherwise plugin of this module, built with go build
	Probe string        // static helper binary; default: integration/probe of this module, built with go build
	Log   *logrus.Entry // what happens, at level Debug and Info; nil is silent
}

// Lab is one small internet with its sites. It must be closed; a process that ends without closing
// it is cleaned up after all the same.
type Lab struct {
	id       string // also the name of its cgroups
	dir      string
	tree     string
	probe    string
	ca       *authority
	log      *logrus.Entry
	spawn    *spawner
	lock     *os.File // held while the lab lives; a lab whose lock is free is a leftover
	internet *Internet
	waiters  sync.WaitGroup // one per started process

	mu         sync.Mutex // guards what follows
	machines   []*Machine
	sites      []*Site // by number
	index      int     // number of the last site
	renumbered int     // addresses that routers got later
	closed     bool

	image image
	evio  evioBinary

	once     sync.Once
	closeErr error
	reaper   *exec.Cmd
	reaperIn io.Closer
	reaperEr strings.Builder
}

// New sweeps what earlier labs left behind, then starts the internet of a new one: bridge, XMPP
// server and STUN/TURN servers. ctx bounds the start, not the lab's life.
func New(ctx context.Context, o Options) (_ *Lab, err error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("the testbed makes namespaces and mounts: run it as root")
	}
	l, err := newLab(o)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	if l.probe == "" {
		if l.probe, err = buildProbe(ctx, l.dir); err != nil {
			return nil, err
		}
	}
	if l.internet, err = newInternet(ctx, l, o.XMPP); err != nil {
		return nil, fmt.Errorf("internet: %w", err)
	}
	return l, nil
}

// newLab makes the directory, the lock and the reaper of a lab that has no machine yet.
func newLab(o Options) (*Lab, error) {
	base := withDefault(o.Dir, "/var/cache/evio/labs")
	tree := withDefault(o.Tree, withDefault(os.Getenv("EVIO_TREE"), "/var/cache/evio/trixie"))
	tree, err := findTree(tree)
	if err != nil {
		return nil, err
	}
	if err := sweep(base); err != nil {
		return nil, err
	}
	random := make([]byte, 4)
	if _, err := rand.Read(random); err != nil {
		return nil, fmt.Errorf("lab id: %w", err)
	}
	id := "evio-lab-" + hex.EncodeToString(random)
	l := &Lab{id: id, dir: filepath.Join(base, id), tree: tree, probe: o.Probe, log: o.Log}
	l.evio.file = withDefault(o.Evio, os.Getenv("EVIO_BINARY"))
	if l.log == nil {
		silent := logrus.New()
		silent.SetOutput(io.Discard)
		l.log = logrus.NewEntry(silent)
	}
	if l.ca, err = newAuthority(); err != nil {
		return nil, err
	}
	if err := l.makeDir(base); err != nil {
		return nil, fmt.Errorf("lab directory: %w", err)
	}
	if err := l.startReaper(); err != nil {
		return nil, err
	}
	l.spawn = newSpawner()
	return l, nil
}

// OldTree is the unpacked Debian tree with Docker 20.10: $EVIO_OLD_TREE, otherwise /var/cache/evio/bookworm.
func OldTree() string { return withDefault(os.Getenv("EVIO_OLD_TREE"), "/var/cache/evio/bookworm") }

// findTree returns the path of a whole tree without symbolic links.
func findTree(tree string) (string, error) {
	if _, err := os.Stat(filepath.Join(tree, "etc/evio-tree")); err != nil { //nolint:gosec // the operator says where it is
		return "", fmt.Errorf("no unpacked Debian tree at %s: run integration/tree.sh first", tree)
	}
	found, err := filepath.EvalSymlinks(tree)
	if err != nil {
		return "", fmt.Errorf("tree: %w", err)
	}
	return found, nil
}

// makeDir makes the lab's directory and locks it before it gets the name that sweep looks for.
func (l *Lab) makeDir(base string) error {
	if err := os.MkdirAll(base, 0o750); err != nil {
		return err
	}
	dir := filepath.Join(base, "."+l.id)
	if err := os.MkdirAll(filepath.Join(dir, "log"), 0o750); err != nil {
		return err
	}
	lock, err := os.Create(filepath.Join(dir, "lock")) //nolint:gosec // a file of ours
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return errors.Join(err, lock.Close())
	}
	l.lock = lock
	return os.Rename(dir, l.dir)
}

// Dir is the lab's directory on the host; it goes with the lab.
func (l *Lab) Dir() string { return l.dir }

// LogDir holds a file per started program, MACHINE-PROGRAM.log.
func (l *Lab) LogDir() string { return filepath.Join(l.dir, "log") }

// Internet is the network between the sites and its servers.
func (l *Lab) Internet() *Internet { return l.internet }

// Site returns the site of that name, or nil.
func (l *Lab) Site(name string) *Site {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.sites {
		if s.Name() == name {
			return s
		}
	}
	return nil
}

// Sites returns all sites in the order of their numbers.
func (l *Lab) Sites() []*Site {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*Site(nil), l.sites...)
}

// Close kills every process of the lab and removes every trace of it. It may be called repeatedly;
// all calls return the same error.
func (l *Lab) Close() error {
	l.once.Do(func() { l.closeErr = l.close() })
	return l.closeErr
}

func (l *Lab) close() error {
	l.mu.Lock()
	l.closed = true
	machines := l.machines
	l.mu.Unlock()
	l.spawn.close()
	for _, m := range machines {
		m.kill()
	}
	// From here the way is the same as after a crash of this process. The reaper runs while we
	// wait, because what is frozen dies only once it has thawed it.
	errs := []error{l.reaperIn.Close()}
	for _, m := range machines {
		m.wait()
	}
	l.waiters.Wait()
	if err := l.reaper.Wait(); err != nil {
		errs = append(errs, fmt.Errorf("clean up %s: %w: %s", l.id, err, l.reaperEr.String()))
	}
	errs = append(errs, l.lock.Close())
	return errors.Join(errs...)
}

func (l *Lab) startReaper() error {
	l.reaper = reaper(l.id, l.dir)
	l.reaper.Stderr = &l.reaperEr
	in, err := l.reaper.StdinPipe()
	if err != nil {
		return fmt.Errorf("start reaper: %w", err)
	}
	if err := l.reaper.Start(); err != nil {
		return fmt.Errorf("start reaper: %w", err)
	}
	l.reaperIn = in
	return nil
}

// reaper is not bound to the life of this process, nor to its terminal: it has to outlive it.
func reaper(id, dir string) *exec.Cmd {
	cmd := exec.Command("/bin/sh", "-c", reaperScript, "reaper") //nolint:gosec // the script is ours
	cmd.Env = []string{"PATH=" + searchPath, "LAB=" + id, "DIR=" + dir}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

// sweep removes labs whose owner ended so abruptly that not even the reaper could work.
func sweep(base string) error {
	dirs, err := filepath.Glob(filepath.Join(base, "evio-lab-*"))
	if err != nil {
		return fmt.Errorf("sweep %s: %w", base, err)
	}
	for _, dir := range dirs {
		if err := sweepLab(dir); err != nil {
			return fmt.Errorf("sweep %s: %w", dir, err)
		}
	}
	return nil
}

func sweepLab(dir string) (err error) {
	lock, err := os.Open(filepath.Join(dir, "lock")) //nolint:gosec // a file of ours
	if err == nil {
		defer func() { err = errors.Join(err, lock.Close()) }()
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
			return nil // it lives
		}
	}
	// Without a lock it was half removed.
	if out, err := reaper(filepath.Base(dir), dir).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func withDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
