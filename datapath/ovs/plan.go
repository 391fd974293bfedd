package ovs

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
)

// maxOfport is the highest number that plan gives to a port; OpenFlow reserves
// those from 0xff00.
const maxOfport = 0xfeff

// failMode is that of our bridges: without flows they forward nothing.
const failMode = "secure"

// changed names the settings of a bridge that are not as they should be.
func (have bridge) changed(b Bridge, datapath string) []string {
	var names []string
	for _, s := range []struct {
		name string
		is   bool
	}{
		{"external_ids", have.ours && have.network == b.Network && have.engine == b.Engine},
		{"fail_mode", have.failMode == failMode},
		{"datapath_type", have.datapath == datapath},
		{"controller", !have.controlled},
	} {
		if !s.is {
			names = append(names, s.name)
		}
	}
	return names
}

// transaction is what turns a bridge as the database has it into the one that
// should be: arguments of one run of ovs-vsctl, none if nothing is to do.
type transaction struct {
	args    []string
	created bool     // the bridge is new, hence has no flows
	opened  []string // ports whose devices the switch opens
	last    int      // highest number given to a port
}

// do appends a command.
func (t *transaction) do(args ...string) {
	if len(t.args) > 0 {
		t.args = append(t.args, "--")
	}
	t.args = append(t.args, args...)
}

// plan computes the transaction for b. The map index has the number of each device
// that exists; ports without a device are left out and removed. check, if not
// empty, makes the switch look again even if nothing changed. Numbers of ports are
// not given out again soon, so that no flow of an earlier port meets a later one:
// last is the highest given before.
func plan(b Bridge, datapath string, o *observed, index map[string]int, last int, check string) (*transaction, error) {
	t := &transaction{last: last}
	have, exists := o.bridges[b.Name]
	if exists && !have.ours {
		return nil, fmt.Errorf("bridge %s exists and is not evio's: rename or delete it", b.Name)
	}
	if !exists {
		t.created = true
		t.do("add-br", b.Name)
	}
	if !exists || check != "" || len(have.changed(b, datapath)) > 0 {
		set := []string{
			"set", "Bridge", b.Name, "fail_mode=" + failMode, "datapath_type=" + datapath,
			"external_ids:" + keyBridge + "=" + quote(b.Network), "external_ids:" + keyEngine + "=" + quote(b.Engine),
		}
		if check != "" {
			set = append(set, "external_ids:"+keyCheck+"="+quote(check))
		}
		t.do(set...)
	}
	if have.controlled {
		t.do("del-controller", b.Name)
	}
	if !exists || o.interfaces[b.Name].mtu != b.MTU {
		t.do("set", "Interface", b.Name, "mtu_request="+strconv.Itoa(b.MTU))
	}
	wanted := map[string]bool{}
	for _, p := range b.Ports {
		wanted[p.Name] = index[p.Name] > 0
	}
	used := map[int]bool{}
	for _, name := range have.ports {
		i := o.interfaces[name]
		used[i.ofport], used[i.requested] = true, true
		if !wanted[name] {
			t.do("--if-exists", "del-port", b.Name, name)
		}
	}
	for _, p := range b.Ports {
		if wanted[p.Name] {
			t.port(b.Name, p, slices.Contains(have.ports, p.Name), o.interfaces[p.Name], index[p.Name], used)
		}
	}
	return t, nil
}

// port adds a port, or makes the switch open its device again: when it could not,
// or when the device was replaced by another of the same name, about which the switch
// in user space would go on reading the old. Only a change of the number makes it
// do so.
func (t *transaction) port(bridge string, p Port, exists bool, have iface, index int, used map[int]bool) {
	if exists && have.ofport > 0 && have.index == strconv.Itoa(index) && have.role == p.Role.String() {
		return
	}
	if !exists {
		t.do("add-port", bridge, p.Name)
	}
	t.last = free(t.last, used)
	t.do("set", "Interface", p.Name, "ofport_request="+strconv.Itoa(t.last),
		"external_ids:"+keyPort+"="+quote(p.Role.String()), "external_ids:"+keyIndex+"="+quote(strconv.Itoa(index)))
	t.opened = append(t.opened, p.Name)
}

// free returns the next number after last that no port has and marks it used.
func free(last int, used map[int]bool) int {
	for range maxOfport {
		last = last%maxOfport + 1
		if !used[last] {
			break
		}
	}
	used[last] = true
	return last
}

// quote writes a string as the database's notation wants it.
func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil { // never: a string can always be marshalled
		return strconv.Quote(s)
	}
	return string(b)
}
