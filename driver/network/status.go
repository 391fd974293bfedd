package network

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"time"

	"evio/datapath/packet"
	"evio/datapath/session"
	"evio/datapath/tap"
	"evio/driver/status"
	"evio/overlay"
	"evio/overlay/nodeid"
)

// Switch returns which Open vSwitch carries the bridges, or why there is none.
func (p *Plane) Switch() (status.Switch, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sw == nil {
		return status.Switch{}, p.swErr
	}
	info := p.sw.Info()
	return status.Switch{Own: info.Own, Datapath: info.Datapath, Version: info.Version, Swept: p.swept, Programs: p.sw.Programs()}, nil
}

// Faults says what keeps running networks from being as they should.
func (p *Plane) Faults() []string {
	running := p.running()
	var faults []string
	if err := tap.Check(); err != nil {
		faults = append(faults, fmt.Sprintf("networks cannot be made: %v", err))
	}
	for _, n := range running {
		n.mu.Lock()
		name := n.overlay
		n.mu.Unlock()
		for _, err := range []error{n.secret.fault(), n.known.fault()} {
			if err != nil {
				faults = append(faults, err.Error())
			}
		}
		faults = append(faults, n.guesses.Faults(name, time.Now())...)
		faults = append(faults, n.loops.faults()...)
		if node := n.currentNode(); node != nil {
			faults = append(faults, node.Warnings()...)
		}
	}
	slices.Sort(faults)
	return faults
}

// Networks describes every running network, in the order of their IDs. What a
// busy node does not report within the context is left out.
func (p *Plane) Networks(ctx context.Context) []status.Network {
	running := p.running()
	slices.SortFunc(running, func(a, b *network) int { return cmp.Compare(a.spec.ID, b.spec.ID) })
	out := make([]status.Network, 0, len(running))
	for _, n := range running {
		out = append(out, n.status(ctx))
	}
	return out
}

// Losing says whether a network loses frames, which its node reports to the other sites.
func (p *Plane) Losing(id string, losing bool) {
	p.mu.Lock()
	n := p.networks[id]
	p.mu.Unlock()
	if n == nil {
		return
	}
	if node := n.currentNode(); node != nil {
		node.Losing(losing)
	}
}

// Counters returns of every running network what was dropped, as far as that costs no
// question to the switch.
func (p *Plane) Counters(ctx context.Context) []status.Network {
	running := p.running()
	out := make([]status.Network, 0, len(running))
	for _, n := range running {
		s := status.Network{ID: n.spec.ID, Drops: n.drops.byCause()}
		n.addLosses(ctx, &s)
		if node := n.node.Load(); node != nil {
			if told, err := node.Status(ctx); err == nil {
				maps.Copy(s.Drops, told.Drops)
				for _, m := range told.Members {
					if c, ok := m.Session.(overlaySession); ok {
						s.Sessions = append(s.Sessions, sessionStatus(m, c))
					}
				}
			}
		}
		out = append(out, s)
	}
	return out
}

func (n *network) status(ctx context.Context) status.Network {
	n.mu.Lock()
	s := status.Network{ID: n.spec.ID, Overlay: n.overlay, Bridge: n.bridge, MTU: n.spec.MTU, Local: true, Encryption: n.spec.Encryption, Guard: n.spec.Guard, Running: true}
	s.Secret = n.plane.secrets[n.overlay] != nil
	n.mu.Unlock()
	noSecret := n.secret.fault()
	s.Endpoints, s.Ports, s.Fault = n.attachments(ctx)
	if s.Fault == "" && noSecret != nil {
		s.Fault = noSecret.Error()
	}
	n.claimer.addStatus(ctx, s.Endpoints)
	s.TAPs = n.taps()
	s.Drops = n.drops.byCause()
	n.addLosses(ctx, &s)
	s.Repairs = n.repairs.counts()
	s.Warnings, s.Loops = append(n.loops.faults(), n.guesses.Faults(s.Overlay, time.Now())...), n.loops.count()
	refused, err := n.sw.Drops(ctx, n.bridge)
	if err != nil && s.Fault == "" && len(s.Ports) > 0 {
		s.Fault = fmt.Sprintf("bridge %s does not answer: %v", n.bridge, err)
	}
	for cause, count := range refused {
		if count > 0 {
			s.Drops["bridge-"+cause] = count
		}
	}
	node := n.node.Load()
	if node == nil {
		return s
	}
	s.Local, s.Node = false, node.ID().String()
	s.Warnings = append(s.Warnings, node.Warnings()...)
	for _, e := range node.Table().Entries() {
		entry := status.Entry{MAC: net.HardwareAddr(e.MAC[:]).String(), Node: e.Node.String()}
		if e.Addr.IsValid() {
			entry.Address = e.Addr.String()
		}
		s.Directory = append(s.Directory, entry)
	}
	told, err := node.Status(ctx)
	if err != nil {
		return s
	}
	maps.Copy(s.Drops, told.Drops)
	s.Ring = status.Ring{Successors: texts(told.Successors), LongDistance: texts(told.LongDistance), Estimate: told.Estimate}
	for _, c := range told.Conflicts {
		s.Conflicts = append(s.Conflicts, conflictStatus(c))
	}
	for _, m := range told.Members {
		s.Members = append(s.Members, memberStatus(m))
		if c, ok := m.Session.(overlaySession); ok {
			s.Sessions = append(s.Sessions, sessionStatus(m, c))
		}
	}
	return s
}

// attachments describes the endpoints in the order of their IDs, and the bridge's
// ports, nil if the switch does not report them. Endpoints that change while the switch
// is asked are reported as changing, so that the two lists agree.
func (n *network) attachments(ctx context.Context) (list []status.Endpoint, ports []string, fault string) {
	n.mu.Lock()
	before := maps.Clone(n.endpoints)
	settled := map[string]bool{}
	for id, e := range before {
		settled[id] = e.onBridge
	}
	n.mu.Unlock()
	ports, err := n.sw.Ports(ctx, n.bridge)
	if fault = n.switched.fault(); fault == "" && err != nil {
		fault = fmt.Sprintf("the ports of bridge %s cannot be read: %v", n.bridge, err)
	}
	n.mu.Lock()
	for id, e := range n.endpoints {
		list = append(list, endpointStatus(id, e, settled[id] && before[id] == e))
	}
	n.mu.Unlock()
	slices.SortFunc(list, func(a, b status.Endpoint) int { return cmp.Compare(a.ID, b.ID) })
	return list, ports, fault
}

func endpointStatus(id string, e *endpoint, settled bool) status.Endpoint {
	out := status.Endpoint{ID: id, MAC: net.HardwareAddr(e.spec.MAC[:]).String(), Interface: e.spec.HostIf, State: status.EndpointChanging}
	switch {
	case settled && e.gone.Load():
		out.State = status.EndpointDetached
	case settled:
		out.State = status.EndpointAttached
	}
	for _, a := range e.spec.Addrs {
		out.Addresses = append(out.Addresses, a.String())
	}
	return out
}

func conflictStatus(c overlay.Conflict) status.Conflict {
	out := status.Conflict{MAC: net.HardwareAddr(c.MAC[:]).String(), JID: c.JID, Site: c.Site, Since: c.Since}
	if c.Addr.IsValid() {
		out.Address = c.Addr.String()
	}
	if !c.Node.IsZero() {
		out.Node = c.Node.String()
	}
	return out
}

func memberStatus(m overlay.MemberStatus) status.Member {
	out := status.Member{JID: m.JID, Node: m.Node.String(), Online: m.Online, Membership: m.Membership, Site: m.Site}
	if m.Err != nil {
		out.LastError = m.Err.Error()
	}
	if m.Clock != nil {
		out.Clock = &status.Clock{AheadMillis: m.Clock.Ahead.Milliseconds(), Likely: m.Clock.Likely}
	}
	return out
}

func sessionStatus(m overlay.MemberStatus, c overlaySession) status.Session {
	i := c.Info()
	return status.Session{
		Node: m.Node.String(), JID: m.JID, State: i.State.String(),
		Path: status.Path{
			Kind: i.Path, Relay: i.Relay, RelayTransport: i.RelayTransport,
			Local: i.Local.String(), Remote: i.Remote.String(), LocalType: i.LocalType, RemoteType: i.RemoteType,
		},
		Moves: i.Moves, RTTMillis: float64(i.RTT.Microseconds()) / 1000, Opened: i.Opened, Established: i.Established,
		Candidates: i.Candidates, PeerCandidates: i.PeerCandidates,
		AEAD: i.AEAD, Generation: i.Generation, Rekeyed: i.Rekeyed, Rekeys: i.Rekeys,
		TxFrames: i.TxFrames, TxBytes: i.TxBytes, RxFrames: i.RxFrames, RxMerged: i.RxMerged, RxBytes: i.RxBytes, OffPath: i.OffPath, Drops: i.Drops,
		Narrow: narrow(i),
	}
}

// narrow describes a path that takes no full packets, nil for one that does.
func narrow(i session.Info) *status.Narrow {
	if i.Record == 0 {
		return nil
	}
	headers := 20 + 8
	if i.Remote.Addr().Is6() {
		headers = 40 + 8
	}
	return &status.Narrow{FullBytes: i.FullRecord + headers, TakesBytes: i.Record + headers, MTU: i.WholeFrame - packet.HeaderLen}
}

func texts(ids []nodeid.ID) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = id.String()
	}
	return out
}
