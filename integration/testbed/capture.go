package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Capture is a running tcpdump.
type Capture struct {
	process *Process
	file    string
}

// Capture records what passes an interface of the machine; "any" is all of them. The filter is
// tcpdump's, empty for everything. When it returns, the recording has begun.
func (m *Machine) Capture(ctx context.Context, iface, filter string) (*Capture, error) {
	return m.capture(ctx, iface, filter)
}

// CaptureContainer records what passes an interface of a running container.
func (s *Site) CaptureContainer(ctx context.Context, container, iface, filter string) (*Capture, error) {
	key, err := s.Docker(ctx, "inspect", "--format", "{{.NetworkSettings.SandboxKey}}", container)
	if err != nil {
		return nil, err
	}
	return s.capture(ctx, iface, filter, "nsenter", "--net="+key)
}

func (m *Machine) capture(ctx context.Context, iface, filter string, enter ...string) (*Capture, error) {
	name := "capture-" + strconv.FormatUint(m.captures.Add(1), 10)
	// Packet by packet, or those before the end would stay in a buffer of the kernel.
	args := append(enter, "tcpdump", "-i", iface, "-n", "-U", "--immediate-mode",
		"-Z", "root", "-s", "0", "-B", "16384", "-w", filepath.Join(SharedDir, name+".pcap"))
	if filter != "" {
		args = append(args, filter)
	}
	p, err := m.Start(ctx, name, args...)
	if err != nil {
		return nil, err
	}
	c := &Capture{process: p, file: filepath.Join(m.Shared(), name+".pcap")}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	// The file's header is written once the socket is open and bound.
	return c, p.await(ctx, func() error {
		info, err := os.Stat(c.file)
		if err == nil && info.Size() == 0 {
			err = errors.New("no file header yet")
		}
		return err
	})
}

// Stop ends the recording and returns the file of this host; it goes with the lab.
func (c *Capture) Stop(ctx context.Context) (string, error) {
	if err := c.process.Stop(ctx, "INT"); err != nil {
		return "", fmt.Errorf("stop capture: %w", err)
	}
	return c.file, nil
}

// File is the file of this host that the recording goes to, packet by packet.
func (c *Capture) File() string { return c.file }
