package ovs

import (
	"errors"
	"maps"
	"slices"

	"evio/datapath/netdev"
)

// Shield keeps the host's stack from a device that is to become a port, before anything
// comes in by it. Apply does that as well, and says what is wrong if it cannot be done.
func (s *Switch) Shield(device string) {
	if index, err := netdev.Index(device); err == nil && index != 0 {
		s.shield([]string{device}, map[string]int{device: index})
	}
}

// shield protects the host's stack from devices that a switch in user space reads, and
// returns why it is not protected from some.
func (s *Switch) shield(names []string, index map[string]int) map[string]error {
	if s.info.Datapath != DatapathNetdev || len(names) == 0 {
		return nil
	}
	list := make([]netdev.Device, 0, len(names))
	for _, name := range names {
		list = append(list, netdev.Device{Name: name, Index: index[name]})
	}
	return s.shields.Put(list...)
}

// shieldNew shields the devices that are new on the bridge, or all, before the switch opens
// them. One that cannot be shielded is set down and left out of the bridge, until it can.
func (s *Switch) shieldNew(st *bridgeState, b Bridge, index map[string]int, all bool, problems broken) {
	var names []string
	for _, p := range b.Ports {
		_, worked := st.ofports[p.Name]
		if index[p.Name] != 0 && (all || !worked || st.index[p.Name] != index[p.Name]) {
			names = append(names, p.Name)
		}
	}
	failed := s.shield(names, index)
	for name, err := range failed {
		st.shutDown(name, err, problems)
		index[name] = 0
	}
	for _, name := range names {
		if failed[name] == nil && st.shut[name] {
			delete(st.shut, name)
			if err := netdev.SetUp(name, b.MTU); err != nil {
				problems[name] = err
			}
		}
	}
}

// shutDown sets down a device that is not shielded, so that nothing comes in by it.
func (st *bridgeState) shutDown(name string, why error, problems broken) {
	problems[name] = why
	if st.shut == nil {
		st.shut = map[string]bool{}
	}
	st.shut[name] = true
	if err := netdev.SetDown(name); err != nil {
		problems[name] = err
	}
}

// RepairShields puts shields back that somebody has removed, and returns them by bridge.
// Where that fails, a bridge is described without any: the next Apply says why, and takes the
// port out. It costs a few requests to the kernel, and none to the switch.
func (s *Switch) RepairShields() (map[string][]Drift, error) {
	if s.info.Datapath != DatapathNetdev {
		return nil, nil
	}
	known, list := s.memories(), []netdev.Device(nil)
	for _, m := range known {
		for name := range m.ofports {
			list = append(list, netdev.Device{Name: name, Index: m.index[name]})
		}
	}
	lacking, err := s.shields.Lacking(list)
	repaired := map[string][]Drift{}
	for _, m := range known {
		names := slices.DeleteFunc(slices.Sorted(maps.Keys(m.ofports)), func(name string) bool { return !slices.Contains(lacking, name) })
		if len(names) == 0 {
			continue
		}
		if len(s.shield(names, m.index)) > 0 && s.doubt(m) {
			repaired[m.bridge.Name] = nil
			continue
		}
		for _, name := range names {
			repaired[m.bridge.Name] = append(repaired[m.bridge.Name], Drift{
				Kind: DriftShield, Port: name, Text: "the shield that keeps the frames that come in by " + name + " from the host's stack was removed",
			})
		}
	}
	return repaired, errors.Join(err, s.shields.Sweep())
}
