package ovs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
)

// reach is behind which link the MAC addresses of other nodes are, by the OpenFlow number
// of its port. The flows that follow from it are two for each address, and no others
// depend on them: so one of many costs no more than one of few.
type reach map[MAC]int

// reachOf returns the reach of a bridge's links. An address that several links claim is
// behind the first; local ones come before all.
func reachOf(b Bridge, ofports map[string]int) reach {
	t := newTable(b, ofports)
	r := reach{}
	for _, l := range t.links {
		for _, m := range l.MACs {
			if _, taken := r[m]; !taken && unicast(m) && !t.local[m] {
				r[m] = l.number
			}
		}
	}
	return r
}

// withoutReach returns the bridge without what reachOf returns.
func withoutReach(b Bridge) Bridge {
	b.Ports = slices.Clone(b.Ports)
	for i := range b.Ports {
		if b.Ports[i].Role == Link {
			b.Ports[i].MACs = nil
		}
	}
	return b
}

// fromLink is the flow that lets unicast in from a MAC address, toLink the one that leads
// to it. They are written here in the words in which the switch shows them.
func fromLink(m MAC, port int) entry {
	return entry{
		Table: tableOrigin, Priority: priorityAllow, Actions: "resubmit(," + strconv.Itoa(tableDeliver) + ")",
		Match:  "dl_dst=" + unicastOnly + ",dl_src=" + net.HardwareAddr(m[:]).String() + ",in_port=" + strconv.Itoa(port),
		Cookie: reachCookie(m, 0),
	}
}

func toLink(m MAC, port int) entry {
	return entry{
		Table: tableForward, Priority: priorityAllow, Actions: "output:" + strconv.Itoa(port),
		Match:  "dl_dst=" + net.HardwareAddr(m[:]).String(),
		Cookie: reachCookie(m, 1),
	}
}

// reachFlag is in cookies of a reach, and in no others.
const reachFlag = 1 << 63

// reachCookie has the MAC address in it: other nodes choose these, and would find two with
// one hash.
func reachCookie(m MAC, which uint64) uint64 {
	return reachFlag | which<<48 | uint64(m[0])<<40 | uint64(m[1])<<32 | uint64(binary.BigEndian.Uint32(m[2:]))
}

// entries adds the flows of a reach to others.
func (r reach) entries(base map[string]entry) map[string]entry {
	all := make(map[string]entry, len(base)+2*len(r))
	maps.Copy(all, base)
	for m, port := range r {
		for _, e := range []entry{fromLink(m, port), toLink(m, port)} {
			all[e.key()] = e
		}
	}
	return all
}

// move adds to the lines of a bundle what takes a MAC address from one port to another; 0
// is none. Flows that go must do so before others come, since one of these may have their cookie.
func move(del, add []byte, m MAC, from, to int) (deleted, added []byte) {
	if from != 0 {
		del = appendDelete(del, reachCookie(m, 0))
		del = appendDelete(del, reachCookie(m, 1))
	}
	if to != 0 {
		add = fromLink(m, to).appendAdd(add)
		add = toLink(m, to).appendAdd(add)
	}
	return del, add
}

func appendDelete(b []byte, cookie uint64) []byte {
	b = append(b, "delete cookie=0x"...)
	b = strconv.AppendUint(b, cookie, 16)
	return append(b, "/-1\n"...)
}

func (e entry) appendAdd(b []byte) []byte {
	b = append(b, "add cookie=0x"...)
	b = strconv.AppendUint(b, e.Cookie, 16)
	b = append(b, ",table="...)
	b = strconv.AppendInt(b, int64(e.Table), 10)
	b = append(b, ",priority="...)
	b = strconv.AppendInt(b, int64(e.Priority), 10)
	if e.Match != "" {
		b = append(append(b, ','), e.Match...)
	}
	b = append(append(b, ",actions="...), e.Actions...)
	return append(b, '\n')
}

// Station is a MAC address and the link port behind which it is; no name: behind none.
type Station struct {
	MAC  MAC
	Port string
}

// Moves is how a bridge is to differ from what Apply made of it.
type Moves struct {
	Stations []Station
	Came     []netip.Addr // to Bridge.Elsewhere
	Went     []netip.Addr // from there
}

// ErrWhole says that a bridge must be applied as a whole.
var ErrWhole = errors.New("the bridge must be applied as a whole")

// Move changes behind which links MAC addresses are, and what is held elsewhere, on a
// bridge as the last Apply left it. It costs what it changes, and no read of the switch.
// The error is ErrWhole where that does not do: the bridge is not known, a port is not on
// it, or a container has the address.
func (s *Switch) Move(ctx context.Context, name string, moved Moves) error {
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	st, err := s.take(ctx, name)
	if err != nil {
		return err
	}
	defer s.release(name, st)
	if st.applied == nil || st.doubted || st.generation != s.generation.Load() {
		return ErrWhole
	}
	d, err := st.moves(moved)
	if err != nil || len(d.lines) == 0 {
		return err
	}
	now := st.memory
	st.applied = nil // until the end is reached
	if err := s.bundle(ctx, name, d.lines); err != nil {
		return fmt.Errorf("move addresses on bridge %s: %w", name, err)
	}
	now.take(d)
	now.serial = s.serial.Add(1)
	st.memory = now
	return nil
}

// difference is what a bundle changes of what is remembered.
type difference struct {
	lines      []byte
	reach      reach
	came, went map[string]entry
}

// moves returns what Move has to do.
func (m *memory) moves(moved Moves) (d difference, err error) {
	if len(moved.Came)+len(moved.Went) > 0 && !additive(m.bridge.Guard) {
		return d, ErrWhole
	}
	d.reach = make(reach, len(moved.Stations))
	var del, add []byte
	for _, a := range moved.Stations {
		port := m.ofports[a.Port]
		if a.Port != "" && port == 0 || m.local[a.MAC] {
			return d, ErrWhole
		}
		if from := m.reach[a.MAC]; from != port && unicast(a.MAC) {
			del, add = move(del, add, a.MAC, from, port)
			d.reach[a.MAC] = port
		}
	}
	if d.went, _, err = m.elsewhereFlows(moved.Went); err != nil {
		return d, err
	}
	var texts map[uint64][]byte
	if d.came, texts, err = m.elsewhereFlows(moved.Came); err != nil {
		return d, err
	}
	for k, e := range d.went {
		if _, there := m.applied[k]; there {
			del = appendDelete(del, e.Cookie)
		}
	}
	for k, e := range d.came {
		if _, there := m.applied[k]; !there {
			add = append(append(append(add, "add "...), texts[e.Cookie]...), '\n')
		}
	}
	d.lines = append(del, add...)
	return d, nil
}

// take notes a difference.
func (m *memory) take(d difference) {
	for mac, port := range d.reach {
		if m.reach[mac] = port; port == 0 {
			delete(m.reach, mac)
		}
	}
	for k := range d.went {
		delete(m.applied, k)
	}
	maps.Copy(m.applied, d.came)
}
