package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"evio/driver/status"
)

// ownOVS is the run directory of the plugin's own Open vSwitch at a site, stateDir
// its store of Docker's objects.
const (
	ownOVS   = "/run/evio/ovs"
	stateDir = "/var/lib/evio/docker"
)

// Leftovers compares what is at the site with what it should have: networks and
// attachments of the engine, of the plugin, of its store, devices, bridges, ports,
// flows, processes and network namespaces. It returns one sentence for each
// difference. An error means that something could not be looked up.
func (s *Site) Leftovers(ctx context.Context) ([]string, error) {
	networks, err := s.engineNetworks(ctx)
	if err != nil {
		return nil, err
	}
	doc, err := s.Status(ctx)
	if err != nil {
		return nil, err
	}
	var found difference
	found.compareNetworks(networks, doc)
	for _, fault := range doc.Faults {
		if !ofLoss(doc, fault) {
			found = append(found, "fault: "+fault)
		}
	}
	for _, check := range []func(context.Context, status.Document, *difference) error{
		s.compareDevices, s.compareSwitch, s.compareStore, s.compareProcesses,
	} {
		if err := check(ctx, doc, &found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// ofLoss reports whether a fault is about frames that were lost here or at another site. Such a
// fault lasts for a minute and is not a leftover.
func ofLoss(doc status.Document, fault string) bool {
	losses := slices.Clone(doc.Transport.Losses)
	for _, n := range doc.Networks {
		losses = append(losses, n.Losses...)
	}
	return strings.Contains(fault, "loses frames of this network") ||
		slices.ContainsFunc(losses, func(l status.Loss) bool {
			return strings.Contains(fault, " lost") && strings.Contains(fault, "("+l.Cause+")")
		})
}

// difference is what there is too much or too little.
type difference []string

// compare notes what only one of two lists has.
func (d *difference) compare(what string, have, want []string) {
	for _, name := range have {
		if !slices.Contains(want, name) {
			*d = append(*d, fmt.Sprintf("%s %s belongs to nothing", what, name))
		}
	}
	for _, name := range want {
		if !slices.Contains(have, name) {
			*d = append(*d, fmt.Sprintf("%s %s is missing", what, name))
		}
	}
}

// engineNetwork is what docker network inspect says of a network.
type engineNetwork struct {
	ID         string `json:"Id"`
	Containers map[string]struct{ EndpointID string }
}

func (s *Site) engineNetworks(ctx context.Context) ([]engineNetwork, error) {
	ids, err := s.Docker(ctx, "network", "ls", "--no-trunc", "--quiet", "--filter", "driver=evio")
	if err != nil || ids == "" {
		return nil, err
	}
	out, err := s.Docker(ctx, append([]string{"network", "inspect"}, strings.Fields(ids)...)...)
	if err != nil {
		return nil, err
	}
	var networks []engineNetwork
	if err := json.Unmarshal([]byte(out), &networks); err != nil {
		return nil, fmt.Errorf("site %s: docker network inspect: %w", s.Name(), err)
	}
	return networks, nil
}

func (d *difference) compareNetworks(networks []engineNetwork, doc status.Document) {
	var wantNets, haveNets, wantEnds, haveEnds []string
	for _, n := range networks {
		wantNets = append(wantNets, n.ID)
		for c := range maps.Values(n.Containers) {
			wantEnds = append(wantEnds, c.EndpointID)
		}
	}
	for _, n := range doc.Networks {
		haveNets = append(haveNets, n.ID)
		for _, e := range n.Endpoints {
			haveEnds = append(haveEnds, e.ID)
			if e.State != status.EndpointAttached {
				*d = append(*d, fmt.Sprintf("endpoint %s is %s, not %s", e.ID, e.State, status.EndpointAttached))
			}
		}
	}
	d.compare("network", haveNets, wantNets)
	d.compare("endpoint", haveEnds, wantEnds)
}

// compareDevices looks at the host's devices with names of evio's: the bridge, the
// host ends of containers' pairs and the TAPs of each network. In the host a pair has
// no other end.
func (s *Site) compareDevices(ctx context.Context, doc status.Document, d *difference) error {
	out, err := s.Script(ctx, `ls /sys/class/net | grep -xE 'ev[a-z][0-9a-f]{10}' || :`)
	if err != nil {
		return err
	}
	var want []string
	for _, n := range doc.Networks {
		want = append(want, n.Bridge)
		want = append(want, n.Ports...)
	}
	d.compare("device", strings.Fields(out), want)
	return nil
}

// compareStore looks at the files: one for each network and endpoint, none set aside
// and none half written.
func (s *Site) compareStore(ctx context.Context, doc status.Document, d *difference) error {
	out, err := s.Script(ctx, `cd `+stateDir+`; find . -type f | sed 's/^..//' | sort`)
	if err != nil {
		return err
	}
	endpoints := 0
	for _, n := range doc.Networks {
		endpoints += len(n.Endpoints)
	}
	want := map[string]int{"network": len(doc.Networks), "endpoint": endpoints}
	have := map[string]int{}
	for file := range strings.FieldsSeq(out) {
		kind, name, _ := strings.Cut(file, "/")
		if _, known := want[kind]; !known || !strings.HasSuffix(name, ".json") {
			*d = append(*d, "stored file "+file+" belongs to nothing")
			continue
		}
		have[kind]++
	}
	for kind, count := range want {
		if have[kind] != count {
			*d = append(*d, fmt.Sprintf("the store has %d files of kind %s, want %d", have[kind], kind, count))
		}
	}
	return nil
}

// compareProcesses looks for a second evio or Open vSwitch, and for network
// namespaces that no container has.
func (s *Site) compareProcesses(ctx context.Context, _ status.Document, d *difference) error {
	for _, program := range []string{"evio", "ovsdb-server", "ovs-vswitchd"} {
		pids, err := s.Processes(ctx, program)
		if err != nil {
			return err
		}
		if len(pids) != 1 {
			*d = append(*d, fmt.Sprintf("%s runs %d times", program, len(pids)))
		}
	}
	out, err := s.Script(ctx, `
lsns --noheadings --raw --type net --output NS | sort -u | wc -l
grep -cE ' (/var)?/run/docker/netns/[0-9a-f]+ nsfs ' /proc/self/mounts || :
grep -cE ' /host/run/docker/netns/[0-9a-f]+ nsfs ' "/proc/$(pgrep -xo evio)/mounts" || :
docker ps --quiet --filter status=running | wc -l`)
	if err != nil {
		return err
	}
	var spaces, mounts, seen, containers int
	if _, err := fmt.Sscan(out, &spaces, &mounts, &seen, &containers); err != nil {
		return fmt.Errorf("site %s: namespaces: %q: %w", s.Name(), out, err)
	}
	if spaces != containers+1 || mounts != containers || seen != containers {
		*d = append(*d, fmt.Sprintf("%d containers, but %d network namespaces with processes beside the host's, %d that the engine keeps, %d that the plugin sees", containers, spaces-1, mounts, seen))
	}
	return nil
}
