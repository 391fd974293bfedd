package scenario

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"evio/driver/status"
)

var (
	flowPort = regexp.MustCompile(`(?:in_port=|output:)([0-9]+)`)
	flowMAC  = regexp.MustCompile(`(?:dl_src|dl_dst|arp_sha|nd_sll|nd_tll)=((?:[0-9a-f]{2}:){5}[0-9a-f]{2})(?:[, ]|$)`)
)

// compareSwitch looks at the plugin's own Open vSwitch: bridges and their ports are
// those of the networks, and flows name only ports that are there, and only MAC
// addresses that somebody has.
func (s *Site) compareSwitch(ctx context.Context, doc status.Document, d *difference) error {
	vsctl := func(args ...string) (string, error) { return s.vsctl(ctx, args...) }
	bridges, err := vsctl("list-br")
	if err != nil {
		return err
	}
	var want []string
	for _, n := range doc.Networks {
		want = append(want, n.Bridge)
	}
	d.compare("bridge", strings.Fields(bridges), want)
	numbers, err := vsctl("--bare", "--columns=ofport", "list", "Interface")
	if err != nil {
		return err
	}
	ports := strings.Fields(numbers)
	for _, n := range doc.Networks {
		if !slices.Contains(strings.Fields(bridges), n.Bridge) {
			continue
		}
		names, err := vsctl("list-ports", n.Bridge)
		if err != nil {
			return err
		}
		d.compare("port of "+n.Bridge, strings.Fields(names), wantedPorts(n))
		flows, err := s.Run(ctx, "ovs-ofctl", "--protocols=OpenFlow14", "--no-names", "--no-stats", "dump-flows", "unix:"+ownOVS+"/"+n.Bridge+".mgmt")
		if err != nil {
			return err
		}
		d.compareFlows(n, flows, ports)
	}
	return nil
}

// SwitchPorts counts the interfaces in the plugin's own Open vSwitch.
func (s *Site) SwitchPorts(ctx context.Context) (int, error) {
	names, err := s.vsctl(ctx, "--bare", "--columns=name", "list", "Interface")
	return len(strings.Fields(names)), err
}

func (s *Site) vsctl(ctx context.Context, args ...string) (string, error) {
	return s.Run(ctx, append([]string{"ovs-vsctl", "--db=unix:" + ownOVS + "/db.sock", "--timeout=5"}, args...)...)
}

// wantedPorts are the fabric port, one for each container, one for each session. Which
// links there are only the plugin knows: how many is compared here.
func wantedPorts(n status.Network) []string {
	var ports []string
	links := 0
	for _, p := range n.Ports {
		if strings.HasPrefix(p, "evl") {
			if links++; links > len(n.Sessions) {
				continue
			}
		}
		if strings.HasPrefix(p, "evh") && !slices.ContainsFunc(n.Endpoints, func(e status.Endpoint) bool { return e.Interface == p }) {
			continue
		}
		ports = append(ports, p)
	}
	for _, e := range n.Endpoints {
		if e.Interface != "" && !slices.Contains(ports, e.Interface) {
			ports = append(ports, e.Interface)
		}
	}
	return ports
}

func (d *difference) compareFlows(n status.Network, flows string, ports []string) {
	known := map[string]bool{"00:00:00:00:00:00": true}
	for _, e := range n.Endpoints {
		known[e.MAC] = true
	}
	for _, e := range n.Directory {
		known[e.MAC] = true
	}
	stale := map[string]string{}
	for line := range strings.Lines(flows) {
		for _, m := range flowPort.FindAllStringSubmatch(line, -1) {
			if !slices.Contains(ports, m[1]) {
				stale["port "+m[1]] = strings.TrimSpace(line)
			}
		}
		for _, m := range flowMAC.FindAllStringSubmatch(line, -1) {
			if !known[m[1]] && !isGroup(m[1]) {
				stale["MAC address "+m[1]] = strings.TrimSpace(line)
			}
		}
	}
	for what, line := range stale {
		*d = append(*d, fmt.Sprintf("flow of %s names %s, which is gone: %s", n.Bridge, what, line))
	}
}

// isGroup recognises a group's address by its first octet.
func isGroup(mac string) bool { return strings.ContainsAny(mac[1:2], "13579bdf") }
