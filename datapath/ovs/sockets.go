package ovs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"evio/datapath/netdev"
)

const (
	// burst is how many full frames a port takes while the switch does something else:
	// a time slice of another process, a TCP window.
	burst = 1000
	// leastRoom is what a port gets at least, in bytes: a burst of frames that are still to
	// be cut, which hold 64 KiB each.
	leastRoom = 8 << 20
	// frameCost is what the kernel needs for a frame beyond its bytes, before it rounds up
	// to a power of two, and frameHead what it adds to that.
	frameCost, frameHead = 384, 256
)

// room is how much of the kernel's memory a burst of frames of an MTU takes.
func room(mtu int) int {
	size := 1024
	for size < mtu+frameCost {
		size *= 2
	}
	return max(leastRoom, burst*(size+frameHead))
}

// sockets are the packet sockets by which our own switch in user space reads the ports
// of a bridge. The switch opens them with the kernel's default of room, a hundred frames, and
// does not report what is dropped; so they get room and a filter here, each time a port was
// opened.
type sockets struct {
	mu     sync.Mutex
	filter *netdev.SocketFilter // nil: the kernel takes none
	known  map[uint32]socket    // by inode
	full   uint64               // frames for which they had no room, also those that are closed
}

// socket is one that was set up.
type socket struct {
	port    string
	dropped uint32 // as the kernel last said
}

// Losses are frames that never reached the flows of a bridge.
type Losses struct {
	QueueFull uint64 // came faster than the switch reads
	Offload   uint64 // left to the device what the switch cannot do
	TooLong   uint64 // for the bridge's MTU
}

// ownSockets reports whether this process sets up the switch's sockets.
func (s *Switch) ownSockets() bool { return s.info.Own && s.info.Datapath == DatapathNetdev }

// socketsOf returns the sockets of a bridge, which it makes for the first Apply.
func (s *Switch) socketsOf(b Bridge) *sockets {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.sockets[b.Name]
	if of == nil {
		of = &sockets{known: map[uint32]socket{}}
		var err error
		if of.filter, err = netdev.NewSocketFilter(b.MTU); err != nil {
			s.warnSockets(fmt.Errorf("one container can make another lose frames: %w", err))
		}
		s.sockets[b.Name] = of
	}
	return of
}

// warnSockets says once why sockets are not as they should be.
func (s *Switch) warnSockets(err error) {
	s.socketWarning.Do(func() {
		s.log.WithError(err).Warn("the ports of the own Open vSwitch are not set up as they should be; frames may be lost uncounted")
	})
}

// equip gives the sockets of ports room and a filter. The names are those that the switch
// has opened, index has the devices' numbers.
func (s *Switch) equip(b Bridge, names []string, index map[string]int) {
	pid := s.pid()
	if !s.ownSockets() || len(names) == 0 || pid == 0 { // one that starts again opens all ports again
		return
	}
	err := s.equipSockets(pid, b, names, index)
	if err == nil || s.pid() != pid {
		return
	}
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		s.unequipped.Store(true)
	}
	s.warnSockets(err)
}

func (s *Switch) equipSockets(pid int, b Bridge, names []string, index map[string]int) error {
	all, err := netdev.PacketSockets()
	if err != nil {
		return err
	}
	files, err := socketFiles(pid)
	if err != nil {
		return err
	}
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("open ovs-vswitchd: %w", err)
	}
	defer unix.Close(process) //nolint:errcheck // nothing was written

	ports := make(map[int]string, len(names))
	for _, name := range names {
		ports[index[name]] = name
	}
	of, want := s.socketsOf(b), room(b.MTU)
	var errs []error
	for _, p := range all {
		file, its := files[p.Inode]
		port := ports[p.Index]
		switch {
		case !its:
		case p.Index == 0 && p.SendTo < want:
			errs = append(errs, borrow(process, file, func(fd int) error { return grow(fd, unix.SO_SNDBUFFORCE, want) }))
		case p.Index != 0 && port != "":
			errs = append(errs, borrow(process, file, func(fd int) error {
				if err := grow(fd, unix.SO_RCVBUFFORCE, want); err != nil {
					return err
				}
				if of.filter == nil {
					return nil
				}
				return of.filter.Attach(fd)
			}))
			of.note(p, port)
		}
	}
	return errors.Join(errs...)
}

// grow sets a buffer's size, which the kernel doubles.
func grow(fd, option, size int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, size/2); err != nil {
		return fmt.Errorf("give a packet socket room: %w", err)
	}
	return nil
}

// borrow calls f with a file of another process.
func borrow(process, file int, f func(fd int) error) error {
	fd, err := unix.PidfdGetfd(process, file, 0)
	if errors.Is(err, unix.EBADF) {
		return nil // closed meanwhile
	}
	if err != nil {
		return fmt.Errorf("share a packet socket of ovs-vswitchd: %w", err)
	}
	return errors.Join(f(fd), unix.Close(fd))
}

// socketFiles returns the sockets of a process: their descriptors by inode.
func socketFiles(pid int) (map[uint32]int, error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid), "fd")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list the sockets of ovs-vswitchd: %w", err)
	}
	files := make(map[uint32]int, len(entries))
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err != nil {
			continue // closed meanwhile
		}
		text, ok := strings.CutPrefix(target, "socket:[")
		inode, err1 := strconv.ParseUint(strings.TrimSuffix(text, "]"), 10, 32)
		file, err2 := strconv.Atoi(e.Name())
		if ok && err1 == nil && err2 == nil {
			files[uint32(inode)] = file
		}
	}
	return files, nil
}

// pid is the switch's process ID, 0 while none runs.
func (s *Switch) pid() int {
	if s.vswitchd == nil {
		return 0
	}
	return int(s.vswitchd.pid.Load())
}

// note remembers a socket that was set up; what it dropped before counts as well.
func (of *sockets) note(p netdev.PacketSocket, port string) {
	of.mu.Lock()
	defer of.mu.Unlock()
	k, ok := of.known[p.Inode]
	if !ok {
		of.full += uint64(p.Dropped)
		k.dropped = p.Dropped
	}
	k.port = port
	of.known[p.Inode] = k
}

// look asks the kernel for all packet sockets, and counts. The lock is held meanwhile: by
// an older list, counters would seem to have wrapped and new sockets to be closed.
func (of *sockets) look() ([]netdev.PacketSocket, error) {
	of.mu.Lock()
	defer of.mu.Unlock()
	all, err := netdev.PacketSockets()
	if err != nil {
		return nil, err
	}
	of.count(all)
	return all, nil
}

// count takes over what the kernel says of the sockets, and forgets those that are closed.
// The caller holds mu.
func (of *sockets) count(all []netdev.PacketSocket) {
	open := make(map[uint32]bool, len(all))
	for _, p := range all {
		open[p.Inode] = true
		if k, ok := of.known[p.Inode]; ok {
			of.full += uint64(p.Dropped - k.dropped) // it wraps
			k.dropped = p.Dropped
			of.known[p.Inode] = k
		}
	}
	maps.DeleteFunc(of.known, func(inode uint32, _ socket) bool { return !open[inode] })
}

// equipped tells which ports have a socket that was set up.
func (of *sockets) equipped() map[string]bool {
	of.mu.Lock()
	defer of.mu.Unlock()
	ports := make(map[string]bool, len(of.known))
	for _, k := range of.known {
		ports[k.port] = true
	}
	return ports
}

// Losses returns what was lost in front of a bridge's flows since the process began; zero
// for a switch that is not our own in user space.
func (s *Switch) Losses(_ context.Context, bridge string) (Losses, error) {
	s.mu.Lock()
	of := s.sockets[bridge]
	s.mu.Unlock()
	if of == nil {
		return Losses{}, nil
	}
	_, err := of.look()
	if err != nil {
		return Losses{}, fmt.Errorf("count losses of %s: %w", bridge, err)
	}
	of.mu.Lock()
	defer of.mu.Unlock()
	l := Losses{QueueFull: of.full}
	if of.filter != nil {
		if l.Offload, l.TooLong, err = of.filter.Counts(); err != nil {
			return Losses{}, fmt.Errorf("count losses of %s: %w", bridge, err)
		}
	}
	return l, nil
}

// compareSockets finds ports whose socket the switch has opened anew by itself, and counts.
func (s *Switch) compareSockets(m memory) ([]Drift, error) {
	s.mu.Lock()
	of := s.sockets[m.bridge.Name]
	s.mu.Unlock()
	if of == nil {
		return nil, nil
	}
	all, err := of.look()
	if err != nil || s.unequipped.Load() {
		return nil, err
	}
	equipped := of.equipped()
	bound := map[int]bool{}
	for _, p := range all {
		bound[p.Index] = true
	}
	var found []Drift
	for _, p := range m.bridge.Ports {
		if _, worked := m.ofports[p.Name]; worked && !equipped[p.Name] && bound[m.index[p.Name]] {
			found = append(found, Drift{Kind: DriftSocket, Port: p.Name, Text: "the switch opened " + p.Name + " anew"})
		}
	}
	return found, nil
}

// forgetSockets gives up the sockets of a bridge that was deleted.
func (s *Switch) forgetSockets(bridge string) {
	s.mu.Lock()
	of := s.sockets[bridge]
	delete(s.sockets, bridge)
	s.mu.Unlock()
	if of == nil {
		return
	}
	of.mu.Lock()
	defer of.mu.Unlock()
	if of.filter != nil {
		if err := of.filter.Close(); err != nil {
			s.log.WithError(err).Debug("a filter of packet sockets was not closed")
		}
		of.filter = nil
	}
}
