// Command demo shows evio at work: three sites behind three NATs on this machine, one
// Docker network across them, and an application whose services stand at different
// sites. It prints each step, the commands that a user would type, and what they
// answer; it fails if any of it does not work.
//
//	make demo            shows it and cleans up
//	KEEP=1 make demo     leaves the sites running until Enter or Ctrl-C
//
// It is a client of testbed and scenario and decides nothing about evio. Nothing of
// it is left on the machine, however it ends.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// In the repository's root, where make runs the demonstration.
const (
	bundle   = "dist/plugin"
	savedLog = "dist/demo-log"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	// A second signal ends the process at once; what it leaves, the lab's reaper removes.
	context.AfterFunc(ctx, stop)
	keep := os.Getenv("KEEP")
	if !demonstrate(ctx, newScreen(os.Stdout), keep != "" && keep != "0") {
		os.Exit(1)
	}
}

// demonstrate runs the whole story and cleans up; it returns whether all worked.
func demonstrate(ctx context.Context, s *screen, keep bool) bool {
	d := &demo{screen: s}
	err := d.play(ctx)
	worked := err == nil
	if worked {
		s.Good(fmt.Sprintf("Everything worked, in %.0f s.", time.Since(s.began).Seconds()))
		if keep {
			d.lookAround(ctx)
		}
	} else {
		d.explain(ctx, err)
	}
	if d.lab == nil {
		return worked
	}
	if err := s.Task("cleaning up", d.lab.Close); err != nil {
		s.Bad("Cleaning up: " + err.Error())
		return false
	}
	return worked
}

// play runs the steps until one fails.
func (d *demo) play(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(bundle, "rootfs")); err != nil {
		return fmt.Errorf("no plugin at %s: run make plugin first, then this in the repository's root", bundle)
	}
	d.Title("evio: one Docker network across three sites behind NATs")
	for _, step := range []struct {
		title string
		most  time.Duration // on a busy machine
		do    func(context.Context) error
	}{
		{"Three sites, a Docker engine at each", 3 * time.Minute, d.startSites},
		{"The plugin", 2 * time.Minute, d.deploy},
		{"The network", time.Minute, d.createNetwork},
		{"An application, a service at each site", 2 * time.Minute, d.startShop},
		{"It works across the sites", time.Minute, d.useShop},
		{"What the plugin tells", time.Minute, d.showStatus},
		{"What can be seen from outside", time.Minute, d.showTraffic},
		{"How fast it is", 2 * time.Minute, d.measure},
	} {
		d.Step(step.title)
		bounded, cancel := context.WithTimeout(ctx, step.most)
		err := step.do(bounded)
		cancel()
		if err != nil {
			return fmt.Errorf("step %d, %q: %w", d.step, step.title, err)
		}
	}
	return nil
}

// explain tells why the story ended early and keeps the logs of all programs.
func (d *demo) explain(ctx context.Context, err error) {
	if ctx.Err() != nil {
		d.Bad("Interrupted.")
		return
	}
	d.Bad("It does not work: " + err.Error())
	if d.lab == nil {
		return
	}
	err = errors.Join(os.RemoveAll(savedLog), os.CopyFS(savedLog, os.DirFS(d.lab.LogDir())))
	if err != nil {
		d.Bad("The logs could not be kept: " + err.Error())
		return
	}
	d.print("The logs of all programs are in " + savedLog + "; a plugin's is in its engine's, SITE-dockerd.log.\n")
}
