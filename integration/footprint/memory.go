package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"evio/integration/scenario"
	"evio/integration/testbed"
)

const network = "blue"

// largest runs three sites and returns the resident memory of the evio process that
// has the most, in bytes.
func largest(ctx context.Context) (most int64, err error) {
	fmt.Println("starting three sites, then half a minute of light traffic ...")
	lab, err := testbed.New(ctx, testbed.Options{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, lab.Close()) }()
	if err := errors.Join(
		lab.AddSites(ctx, testbed.SiteConfig{Name: "a"}, testbed.SiteConfig{Name: "b"}, testbed.SiteConfig{Name: "c"}),
		lab.StartEngines(ctx, testbed.EngineOptions{})); err != nil {
		return 0, err
	}
	d, err := scenario.Deploy(ctx, lab, bundle)
	if err != nil {
		return 0, err
	}
	if err := d.Create(ctx, scenario.Network{Name: network, Net: 9}); err != nil {
		return 0, err
	}
	if err := traffic(ctx, d); err != nil {
		return 0, err
	}
	for _, s := range d.Sites {
		bytes, err := resident(ctx, s)
		if err != nil {
			return 0, err
		}
		most = max(most, bytes)
	}
	return most, nil
}

// traffic gives each site a container and lets it ping the others for half a minute.
func traffic(ctx context.Context, d *scenario.Deployment) error {
	var addresses []string
	for _, s := range d.Sites {
		if err := s.RunContainer(ctx, "c-"+s.Name(), network); err != nil {
			return err
		}
		v4, _, err := s.Addresses(ctx, "c-"+s.Name(), network)
		if err != nil {
			return err
		}
		addresses = append(addresses, v4)
	}
	wait, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := d.WaitSessions(wait, network); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for i, s := range d.Sites {
		for j, to := range addresses {
			if i == j {
				continue
			}
			group.Go(func() error {
				_, err := s.Exec(ctx, "c-"+s.Name(), "ping", "-q", "-i", "0.1", "-c", "300", "-s", "1000", to)
				return err
			})
		}
	}
	return group.Wait()
}

// resident returns the memory of a site's evio process: the larger of its own count
// and the kernel's.
func resident(ctx context.Context, s *scenario.Site) (int64, error) {
	doc, err := s.Status(ctx)
	if err != nil {
		return 0, err
	}
	pid, err := s.PluginPID(ctx, scenario.PluginName)
	if err != nil {
		return 0, err
	}
	out, err := s.Run(ctx, "awk", "/^VmRSS:/ { print $2 }", fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	kib, err := strconv.ParseInt(strings.TrimSpace(out), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("resident memory of process %d at site %s: %w", pid, s.Name(), err)
	}
	told, counted := doc.Process.ResidentBytes, kib<<10
	fmt.Printf("  site %s: %.1f MB by the status document, %.1f MB by the kernel, %d goroutines, %d descriptors\n",
		s.Name(), float64(told)/1e6, float64(counted)/1e6, doc.Process.Goroutines, doc.Process.Descriptors)
	return max(told, counted), nil
}
