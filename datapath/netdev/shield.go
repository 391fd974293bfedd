package netdev

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/vishvananda/netlink"
)

// Shields keep the host's own network stack from receiving what comes in by devices. A
// bridge in user space reads a device by a packet socket, which gets a copy; the host's
// stack would take the original, answer for the host's addresses, deliver broadcasts to
// its services, and believe router advertisements, since it cannot be told by rtnetlink to
// refuse them. A shield lies behind the packet sockets and drops all of it.
//
// It is a chain of nftables with the hook ingress and the policy drop, which needs
// CAP_NET_ADMIN alone and stays whatever becomes of the switch and of queueing
// disciplines. Where the kernel refuses that it is a BPF filter of tc.
//
// A bridge in the kernel takes frames behind both hooks, so that a shield would keep them
// from the bridge.
type Shields struct {
	mu    sync.Mutex // held while chains are made or removed
	table ingressTable
}

// loopback is the index of the loopback device in every network namespace (LOOPBACK_IFINDEX
// in include/net/flow.h of Linux).
const loopback = 1

// NewShields returns the shields of one engine of this network namespace: others have
// their own, and remove none of these.
func NewShields(engine string) *Shields {
	if engine == "" {
		return &Shields{table: "evio"}
	}
	return &Shields{table: ingressTable("evio_" + engine)}
}

// Put shields devices, identified by name and index, and returns why some are not shielded. A
// device that is gone is no failure. Put does nothing for a chain that is there. A filter goes
// when Open vSwitch opens the device, so Put must be called again after that.
// For the first filter of a device the kernel stops its queue, and what is sent meanwhile
// is lost and counted nowhere. The loopback device is left alone: no switch takes it for a
// port, and the host cannot do without what comes in by it.
func (s *Shields) Put(devices ...Device) map[string]error {
	s.mu.Lock()
	defer s.mu.Unlock()
	missing := slices.DeleteFunc(slices.Clone(devices), func(d Device) bool { return d.Index == loopback })
	if sound, err := s.table.sound(); err == nil {
		missing = slices.DeleteFunc(missing, func(d Device) bool { return sound[chainOf(d)] })
	}
	failed := map[string]error{}
	for some := range slices.Chunk(missing, chainsAtOnce) {
		if s.table.add(some) == nil {
			continue
		}
		for _, d := range some {
			if err := s.putOne(d); err != nil {
				failed[d.Name] = err
			}
		}
	}
	return failed
}

func (s *Shields) putOne(d Device) error {
	byTable := s.table.add([]Device{d})
	if byTable == nil {
		return nil
	}
	byFilter := putFilter(d)
	if byFilter == nil {
		return nil
	}
	if index, err := Index(d.Name); err == nil && index != d.Index {
		return nil
	}
	return fmt.Errorf("the host cannot be shielded from the frames that come in by %s, since the kernel takes neither a chain of nftables (%w) "+
		"nor a BPF filter (%w): load the kernel's module nf_tables", d.Name, byTable, byFilter)
}

// Lacking names those of the devices that exist and have no shield.
func (s *Shields) Lacking(devices []Device) ([]string, error) {
	sound, err := s.table.sound()
	if err != nil {
		sound = nil // a kernel without nftables
	}
	var names []string
	var errs []error
	for _, d := range devices {
		if sound[chainOf(d)] {
			continue
		}
		if index, err := Index(d.Name); err != nil || index != d.Index {
			errs = append(errs, err)
			continue
		}
		there, err := filtered(d)
		if err == nil && !there {
			names = append(names, d.Name)
		}
		errs = append(errs, err)
	}
	return names, errors.Join(errs...)
}

// Sweep removes the chains of devices that are not there any more, as the kernel itself
// does before version 6.16.
func (s *Shields) Sweep() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.table.sweep()
}

// Remove takes all chains away, for a bridge in the kernel.
func (s *Shields) Remove() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.table.remove()
}

// SetDown sets a device down, so that nothing comes in by it.
func SetDown(name string) error {
	return with("set down device "+name, func(h *netlink.Handle) error {
		link, err := find(h, name)
		if err != nil || link == nil {
			return err
		}
		return h.LinkSetDown(link)
	})
}
