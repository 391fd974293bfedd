// Command footprint measures what evio takes: the size of the plugin's folder, and the
// resident memory of the evio process with one network and sessions to two other
// sites, after half a minute of light traffic. It fails over the limits.
package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// bundle is the plugin, in the repository's root, where make runs this.
const bundle = "dist/plugin"

// Limits, in bytes.
const (
	mostOnDisk   = 80e6
	mostResident = 40e6
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	err := run(ctx)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "footprint:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	size, err := treeSize(bundle)
	if err != nil {
		return fmt.Errorf("size of the plugin (run make plugin first): %w", err)
	}
	fmt.Printf("plugin, %s: %.1f MB, limit %.0f MB\n", bundle, float64(size)/1e6, mostOnDisk/1e6)
	resident, err := largest(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("evio process with one network, two sessions: %.1f MB resident, limit %.0f MB\n", float64(resident)/1e6, mostResident/1e6)
	if size > mostOnDisk || resident > mostResident {
		return fmt.Errorf("over the limit")
	}
	return nil
}

// treeSize adds up the files of a folder; a symbolic link counts as itself.
func treeSize(root string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(root, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if !entry.IsDir() {
			sum += info.Size()
		}
		return nil
	})
	return sum, err
}
