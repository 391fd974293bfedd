package ovs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// hostPollInterval is how often the host's switch is looked for while it is away.
const hostPollInterval = 500 * time.Millisecond

// hostPatience is how long a host's switch whose socket is there may take to answer, such
// as one that is started anew at the same time.
const hostPatience = 5 * time.Second

// awaitHost is adopt, repeated while the host's switch may be starting.
func (s *Switch) awaitHost(ctx context.Context, runDir string) error {
	for deadline := time.Now().Add(hostPatience); ; {
		err := s.adopt(ctx, runDir)
		if err == nil || errors.Is(err, os.ErrNotExist) || time.Now().After(deadline) || pause(ctx, hostPollInterval) != nil {
			return err
		}
	}
}

// adopt uses the host's Open vSwitch if its database answers, and watches its
// switch from then on. Nothing is changed but our own bridges.
func (s *Switch) adopt(ctx context.Context, runDir string) error {
	p := programs{runDir: runDir, starts: s.programs.starts}
	if _, err := os.Stat(p.databaseSocket()); err != nil {
		return err
	}
	if err := p.answers(ctx); err != nil {
		return err
	}
	o, err := p.read(ctx)
	if err != nil {
		return err
	}
	s.programs = p
	if s.info.Version = o.version; o.version == "" {
		s.info.Version = "unknown"
	}
	lifetime, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var done sync.WaitGroup
	done.Go(func() { s.watchHost(lifetime, runDir) })
	s.stop = sync.OnceFunc(func() { cancel(); done.Wait() })
	s.log.WithField("datapath", s.info.Datapath).WithField("version", s.info.Version).Info("the host's Open vSwitch is used")
	return nil
}

// watchHost notices when the host's switch ends, which takes all flows along. It
// holds a connection to the switch's control socket, which nothing but its end
// closes.
func (s *Switch) watchHost(ctx context.Context, runDir string) {
	for seen := false; ; {
		conn, err := dialControl(ctx, runDir)
		if err != nil {
			if pause(ctx, hostPollInterval) != nil {
				return
			}
			continue
		}
		if seen {
			s.log.Warn("the host's Open vSwitch was restarted: bridges must be applied again")
			s.noteRestart()
		}
		seen = true
		hold(ctx, conn)
		if ctx.Err() != nil {
			return
		}
	}
}

// dialControl connects to the control socket of the switch that runs now; its name
// has the process's number as the switch itself sees it.
func dialControl(ctx context.Context, runDir string) (net.Conn, error) {
	pid, err := os.ReadFile(filepath.Join(runDir, "ovs-vswitchd.pid")) //nolint:gosec // a setting of the operator
	if err != nil {
		return nil, err
	}
	socket := fmt.Sprintf("ovs-vswitchd.%s.ctl", strings.TrimSpace(string(pid)))
	return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(runDir, filepath.Base(socket)))
}

// hold returns when the other end closes or the context ends.
func hold(ctx context.Context, conn net.Conn) {
	unhook := context.AfterFunc(ctx, func() { _ = conn.Close() }) // it is only there to be closed
	defer unhook()
	defer conn.Close() //nolint:errcheck // ditto
	_, _ = conn.Read(make([]byte, 1))
}
