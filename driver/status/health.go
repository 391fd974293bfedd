package status

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Health says whether everything works that is configured.
type Health struct {
	Healthy  bool       `json:"healthy"`  // nothing is degraded
	Degraded []Degraded `json:"degraded"` // in the order of the parts below
	Notes    []string   `json:"notes"`    // what is as it should be and yet less than one may expect, a sentence each
}

// Degraded is a part that does not work as it should.
type Degraded struct {
	Part   string `json:"part"`
	Reason string `json:"reason"` // one sentence
}

// The parts.
const (
	PartSettings   = "settings"
	PartState      = "state"
	PartSwitch     = "switch"
	PartTransport  = "transport"
	PartSignalling = "signalling"
	PartRelays     = "relays"
	PartNetworks   = "networks"
	PartDocker     = "docker"
	PartOther      = "other" // a fault that no other part explains
)

// established is the state of a session that serves.
const established = "established"

// Judge returns the health that follows from the rest of the document, whose own it
// does not look at. Being alone in an overlay is healthy, and so is an engine without
// signalling: it has networks of its own. A part that is starting is degraded until it
// works.
func Judge(d Document) Health {
	h := Health{Degraded: []Degraded{}, Notes: []string{}}
	h.add(PartSettings, d.Settings.Faults...)
	h.add(PartState, d.State.Faults...)
	h.add(PartSwitch, d.Switch.Error)
	h.add(PartTransport, d.Transport.Error)
	for _, l := range d.Transport.Losses {
		h.add(PartTransport, l.sentence())
	}
	for _, s := range d.Signalling {
		if !s.Connected {
			h.add(PartSignalling, away(s))
		}
	}
	h.add(PartSignalling, d.Membership.Faults...)
	h.add(PartRelays, unusable(d.Transport.Relays))
	for _, n := range d.Networks {
		for _, reason := range n.ails() {
			h.add(PartNetworks, "network "+n.Label()+": "+reason)
		}
	}
	if d.Docker.Error != "" {
		h.add(PartDocker, fmt.Sprintf("Docker's API at %s does not answer: %s", d.Docker.Socket, d.Docker.Error))
	}
	h.add(PartOther, d.unexplained(h)...)
	if len(d.Signalling) == 0 && len(d.Settings.Faults) == 0 && !d.Settings.signalling() {
		h.Notes = append(h.Notes, "no signalling service is configured: networks are of this engine only; to reach other sites, name one in the configuration file")
	}
	for _, n := range d.Networks {
		if note := n.apart(); note != "" {
			h.Notes = append(h.Notes, note)
		}
	}
	h.Healthy = len(h.Degraded) == 0
	return h
}

// signalling reports whether a service is configured, which may not run for another reason.
func (s Settings) signalling() bool {
	return slices.ContainsFunc(s.Values, func(v Setting) bool { return strings.HasPrefix(v.Name, "signalling[") })
}

func (h *Health) add(part string, reasons ...string) {
	for _, r := range reasons {
		if r != "" {
			h.Degraded = append(h.Degraded, Degraded{Part: part, Reason: r})
		}
	}
}

// away says of an account that it is not connected. What is up goes on without it.
func away(s Signalling) string {
	since := ""
	if !s.Since.IsZero() {
		since = " since " + s.Since.UTC().Format(time.RFC3339)
	}
	why := "it has not logged in yet"
	if s.LastError != "" {
		why = s.LastError
	}
	return fmt.Sprintf("account %s is not connected%s, so sessions that are up go on and no new ones are made: %s", s.JID, since, why)
}

// unusable says why no relay can be used, if none can.
func unusable(relays []Relay) string {
	var reasons []string
	for _, r := range relays {
		if r.State != "failed" {
			return ""
		}
		reasons = append(reasons, r.URI+": "+r.Reason)
	}
	if len(reasons) == 0 {
		return ""
	}
	return "no TURN server can be used: " + strings.Join(reasons, "; ")
}

// Label is what people call the network: the name, or its ID's beginning.
func (n Network) Label() string {
	if n.Name != "" {
		return n.Name
	}
	return n.ID[:min(12, len(n.ID))]
}

// ails returns what is wrong with a network, a sentence each.
func (n Network) ails() []string {
	var out []string
	switch {
	case n.Fault != "":
		out = append(out, n.Fault)
	case !n.Running:
		out = append(out, "it has no bridge yet: it is being made or restored")
	case len(n.Ports) == 0: // the fabric port is always there
		out = append(out, fmt.Sprintf("the switch has no bridge %s: it is made anew within seconds; if this stays, disable and enable the plugin", n.Bridge))
	}
	out = append(out, n.detached()...)
	for _, c := range n.Conflicts {
		out = append(out, c.sentence())
	}
	out = append(out, n.Warnings...)
	for _, l := range n.Losses {
		out = append(out, l.sentence())
	}
	out = append(out, n.NarrowPaths()...)
	for _, m := range n.Members {
		if !m.Online || n.hasSession(m.Node) {
			continue
		}
		why := "one is being made"
		if m.LastError != "" {
			why = m.LastError
		}
		out = append(out, fmt.Sprintf("member %s is online without a session: %s", m.JID, why))
	}
	return out
}

// sentence says who has the address and what to do.
func (c Conflict) sentence() string {
	kind, what, owner := "address", c.Address, "node "+c.Node
	if c.Address == "" {
		kind, what = "MAC address", c.MAC
	}
	if c.JID != "" {
		owner = c.JID
	}
	if c.Site != "" {
		owner += " at site " + c.Site
	}
	return fmt.Sprintf("%s %s of a container here belongs to %s since %s: give one of the two containers another %s", kind, what, owner, c.Since.UTC().Format(time.RFC3339), kind)
}

// detached names the containers that have no port, as the plugin knows it or as the
// switch does.
func (n Network) detached() []string {
	var out []string
	for _, e := range n.Endpoints {
		switch known := n.Running && n.Fault == "" && len(n.Ports) > 0; {
		case e.State == EndpointDetached:
			out = append(out, fmt.Sprintf("the container with %s is not attached: restart it if it still runs", e.who()))
		case known && e.State == EndpointAttached && !slices.Contains(n.Ports, e.Interface):
			out = append(out, fmt.Sprintf("interface %s of the container with %s is no port of bridge %s: it is added again within seconds; if this stays, disable and enable the plugin", e.Interface, e.who(), n.Bridge))
		}
	}
	return out
}

// who names an endpoint for people, who do not know its ID.
func (e Endpoint) who() string {
	if len(e.Addresses) > 0 {
		return e.Addresses[0]
	}
	return e.MAC
}

func (n Network) hasSession(node string) bool {
	return slices.ContainsFunc(n.Sessions, func(s Session) bool { return s.Node == node && s.State == established })
}

// unexplained returns the faults that no reason in h is about.
func (d Document) unexplained(h Health) []string {
	var out []string
	for _, f := range d.Faults {
		known := slices.ContainsFunc(h.Degraded, func(g Degraded) bool {
			return strings.Contains(f, g.Reason) || strings.Contains(g.Reason, f)
		})
		if !known {
			out = append(out, f)
		}
	}
	return out
}

// leastMTU6 is the least MTU of a network with IPv6. A smaller one is not advised.
const leastMTU6 = 1280

// NarrowPaths returns a sentence for each tunnel whose path takes no full packets.
func (n Network) NarrowPaths() []string {
	var out []string
	for _, s := range n.Sessions {
		if s.Narrow == nil || s.State != established {
			continue
		}
		advice := "mend what drops large packets on the way"
		if m := s.Narrow.MTU; m >= leastMTU6 {
			advice += fmt.Sprintf(", or remove the network at each site and create it again with -o com.docker.network.driver.mtu=%d", m)
		}
		out = append(out, fmt.Sprintf(
			"the path to %s takes no packets of %d bytes, as full frames of this network become, and its frames are cut to packets of %d bytes, which costs throughput: %s",
			s.JID, s.Narrow.FullBytes, s.Narrow.TakesBytes, advice))
	}
	return out
}
