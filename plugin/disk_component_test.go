//go:build component

package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// disk is a small file system of its own.
type disk struct {
	t    *testing.T
	path string
}

func newDisk(t *testing.T, path string) disk {
	t.Helper()
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", path, "tmpfs", 0, "size=256k,mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return disk{t, path}
}

// fill leaves no byte free, clear undoes it.
func (d disk) fill() {
	d.t.Helper()
	f, err := os.OpenFile(filepath.Join(d.path, "ballast"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	if !errors.Is(err, unix.ENOSPC) {
		d.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		d.t.Fatal(err)
	}
}

func (d disk) clear() {
	d.t.Helper()
	if err := os.Remove(filepath.Join(d.path, "ballast")); err != nil {
		d.t.Fatal(err)
	}
}

func (d disk) writable(yes bool) {
	d.t.Helper()
	flags := uintptr(unix.MS_REMOUNT)
	if !yes {
		flags |= unix.MS_RDONLY
	}
	await(d.t, 5*time.Second, "remount", func() error { return unix.Mount("tmpfs", d.path, "tmpfs", flags, "") })
}

// TestDiskThatTakesNothing: with a full disk and with a read-only one, at the start and
// while evio runs, a call works or fails with one sentence and leaves nothing half made;
// when the disk takes something again all works without a restart.
func TestDiskThatTakesNothing(t *testing.T) {
	dir := workplace(t)
	d := newDisk(t, filepath.Join(dir, "state"))
	for _, c := range []struct {
		name          string
		broken, whole func()
		advice        string
	}{
		{"full", d.fill, d.clear, "make room"},
		{"read-only", func() { d.writable(false) }, func() { d.writable(true) }, "writable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := start(t, dir, nil)
			p.must("CreateNetwork", createNetwork(1))
			p.must("CreateEndpoint", createEndpoint(1, 1))
			p.must("CreateEndpoint", createEndpoint(1, 2))
			p.must("Join", join(1, 1))
			before := p.mustInventory()

			c.broken()
			p.refused("CreateNetwork", createNetwork(2), c.advice)
			p.refused("CreateEndpoint", createEndpoint(1, 3), c.advice)
			p.refused("Join", join(1, 2), c.advice)
			p.responsive()
			c.whole()
			p.back(before)
			for _, again := range []struct {
				method string
				body   any
			}{{"CreateNetwork", createNetwork(2)}, {"CreateEndpoint", createEndpoint(1, 3)}, {"Join", join(1, 2)}} {
				p.must(again.method, again.body)
			}

			// What is removed is gone, at the latest when the disk can be written to again.
			c.broken()
			for _, gone := range []struct {
				method string
				body   any
			}{{"Leave", ids(1, 2)}, {"DeleteEndpoint", ids(1, 3)}, {"DeleteNetwork", ids(2, 0)}} {
				t.Logf("%s: %q", gone.method, p.refusal(gone.method, gone.body))
			}
			c.whole()
			p.must("Leave", ids(1, 2))
			p.back(before)

			// A start with such a disk serves what is stored.
			p.stop()
			c.broken()
			p = start(t, dir, nil)
			await(t, 20*time.Second, "network runs again", func() error {
				now, err := p.inventory()
				if err == nil && len(now.Ports) < 1 {
					err = errors.New("no port")
				}
				return err
			})
			p.refused("CreateNetwork", createNetwork(2), c.advice)
			c.whole()
			p.must("CreateNetwork", createNetwork(2))
			for n := 1; n <= 2; n++ {
				p.must("DeleteNetwork", ids(n, 0))
			}
			if left := p.mustInventory(); len(left.Devices)+len(left.Files) > 0 {
				t.Errorf("left: %+v", left)
			}
			p.stop()

			// A first start says what to do, and works when that is done.
			if err := os.Remove(filepath.Join(d.path, "identity.pem")); err != nil {
				t.Fatal(err)
			}
			c.broken()
			p = start(t, dir, nil)
			p.refused("CreateNetwork", createNetwork(1), "state directory", "tried again")
			p.tells("state directory", "tried again")
			c.whole()
			p.comesBack()
			p.must("DeleteNetwork", ids(1, 0))
			p.stop()
		})
	}
}
