package view

import (
	"slices"
	"strings"

	"evio/driver/status"
)

// socketOffload says what is left to the kernel at the UDP socket, and why the rest is not.
func (p *page) socketOffload(o status.TransportOffload) {
	p.line("Offload: UDP send %s, UDP receive %s, merge %s", onOff(o.UDPSend), onOff(o.UDPReceive), onOff(o.Merge))
	p.whyOff("UDP send", o.UDPSend)
	p.whyOff("UDP receive", o.UDPReceive)
	p.whyOff("merge", o.Merge)
	if o.Routes > 0 {
		p.line("records are sent one by one on %d routes, where the kernel does not cut them", o.Routes)
	}
}

func onOff(o status.Offload) string {
	if o.On {
		return "on"
	}
	return "off"
}

func (p *page) whyOff(what string, o status.Offload) {
	if !o.On && o.Reason != "" {
		p.sentence(what+" is off: ", o.Reason)
	}
}

// linkOffload says what the TAPs of links leave to the kernel, with one line for all that
// leave the same.
func (p *page) linkOffload(taps []status.TAP) {
	links := map[status.TAPOffload]int{}
	var states []status.TAPOffload
	for _, t := range taps {
		if t.Node == "" {
			continue // the fabric port carries single frames only
		}
		if links[t.Offload]++; links[t.Offload] == 1 {
			states = append(states, t.Offload)
		}
	}
	slices.SortStableFunc(states, func(a, b status.TAPOffload) int { return links[b] - links[a] })
	for _, o := range states {
		p.line("links: %d, TAP offload: %s", links[o], left(o))
		if o.Reason != "" {
			p.sentence("not all of it: ", o.Reason)
		}
	}
}

// left names what is left to the kernel.
func left(o status.TAPOffload) string {
	var names []string
	for _, x := range []struct {
		on   bool
		name string
	}{{o.TCP, "TCP"}, {o.UDP, "UDP"}, {o.Checksums, "checksums"}} {
		if x.on {
			names = append(names, x.name)
		}
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ", ")
}
