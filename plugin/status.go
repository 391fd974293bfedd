package main

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"evio/datapath/session"
	"evio/driver"
	"evio/driver/status"
	"evio/plugin/config"
)

var _ status.Source = source{}

// source collects the status document from the parts.
type source struct {
	started  time.Time
	driver   *driver.Driver
	parts    parts
	settings config.Settings
	events   *lastErrors
	losses   *status.Losses
}

// pingLimit is how long Docker's API has to answer.
const pingLimit = time.Second

// Status implements status.Source.
func (s source) Status(ctx context.Context) status.Document {
	begun := time.Now()
	d := status.Document{
		Version: version(), Started: s.started.UTC(), Process: status.ThisProcess(),
		Calls: s.driver.Calls(), Collected: s.driver.Collected(), Reach: reach(s.settings),
		Faults: append(s.driver.Faults(), s.parts.faults.reach...),
	}
	s.addOperation(ctx, &d)
	if s.parts.plane == nil {
		return d
	}
	d.Membership = status.Membership{Identity: s.parts.book.Identity(), Faults: s.parts.book.Faults()}
	d.Faults = append(d.Faults, d.Membership.Faults...)
	d.Faults = append(d.Faults, s.parts.plane.Faults()...)
	var err error
	if d.Switch, err = s.parts.plane.Switch(); err != nil {
		d.Switch.Error = err.Error()
		d.Faults = append(d.Faults, d.Switch.Error)
	}
	d.Networks = merge(s.driver.Networks(), s.parts.plane.Networks(ctx))
	for i := range d.Networks {
		d.Networks[i].Elsewhere = s.elsewhere(d, d.Networks[i])
	}
	for _, n := range d.Networks {
		for _, narrow := range n.NarrowPaths() {
			d.Faults = append(d.Faults, "network "+n.Label()+": "+narrow)
		}
	}
	t := s.parts.transport.Stats()
	d.Transport = status.Transport{
		Port: t.Port, Datagrams: t.Socket.Received, Sent: t.Socket.Sent, Drops: transportDrops(t), Sessions: t.Sessions, Agents: t.Agents,
		SendCalls: t.Socket.SendCalls, ReceiveCalls: t.Socket.ReceiveCalls, Uncut: t.Socket.Uncut,
		Offload: transportOffload(t, s.settings),
	}
	if err := s.parts.transport.Fault(); err != nil {
		d.Transport.Error = "sessions with other sites wait for the UDP port, which is asked for again each second: " + err.Error()
		d.Faults = append(d.Faults, d.Transport.Error)
	}
	for _, r := range t.Relays {
		d.Transport.Relays = append(d.Transport.Relays, status.Relay{
			URI: r.URI, State: r.State, Reason: r.Reason, Since: r.Since, Allocations: r.Allocations, Dropped: r.Dropped,
		})
	}
	for _, a := range s.parts.accounts {
		st := a.client.Status()
		d.Signalling = append(d.Signalling, status.Signalling{
			Server: cmp.Or(a.service.Server, st.Server), JID: a.service.JID, Connected: st.Connected, Since: st.Since, LastError: st.LastError,
			Failures: st.Failures, Strangers: a.members.Strangers(), Drops: stanzaDrops(a), Lists: lists(a),
		})
		d.Faults = append(d.Faults, a.client.Faults()...)
	}
	s.losses.Note(&d, begun, time.Now())
	return d
}

// elsewhere returns the members that are online, if none of them is in a network's
// overlay.
func (s source) elsewhere(d status.Document, n status.Network) []status.Elsewhere {
	if n.Local || !n.Running {
		return nil
	}
	var out []status.Elsewhere
	for _, e := range s.parts.book.Elsewhere(n.Overlay, d.Resembling(n)) {
		out = append(out, status.Elsewhere{JID: e.JID, Overlays: e.Unknown, Fits: e.Fits})
	}
	return out
}

// counters is the part of the document that losses are seen in.
func (s source) counters(ctx context.Context) status.Document {
	return status.Document{
		Transport: status.Transport{Drops: transportDrops(s.parts.transport.Stats())},
		Networks:  s.parts.plane.Counters(ctx),
	}
}

// transportOffload is what the socket leaves to the kernel, and whether sessions merge segments.
func transportOffload(t session.Stats, s config.Settings) status.TransportOffload {
	o := status.TransportOffload{
		UDPSend: status.Offload(t.Offload.Send), UDPReceive: status.Offload(t.Offload.Receive), Routes: t.Offload.Refused,
		Merge: status.Offload{On: true},
	}
	if s.Offload.Merge == config.Off {
		o.Merge = status.Offload{Reason: "switched off by configuration"}
	}
	return o
}

// transportDrops joins what the transport and its socket have dropped.
func transportDrops(t session.Stats) map[string]uint64 {
	drops := t.Drops
	for cause, count := range map[string]uint64{"truncated": t.Socket.Truncated, "buffer-full": t.Socket.Overflow} {
		if count > 0 {
			drops[cause] += count
		}
	}
	return drops
}

// addOperation adds what an operator has to do with: settings, state, engine, log.
func (s source) addOperation(ctx context.Context, d *status.Document) {
	d.Time = time.Now().UTC()
	for _, i := range s.settings.List() {
		d.Settings.Values = append(d.Settings.Values, status.Setting{Name: i.Name, Value: i.Value, From: i.From})
	}
	d.Settings.Faults = s.parts.faults.settings
	d.State.Faults = s.parts.faults.state
	if s.parts.store != nil {
		d.State.Faults = append(slices.Clone(d.State.Faults), s.parts.store.Faults()...)
	}
	d.Transport.Error = strings.Join(s.parts.faults.transport, "; ")
	d.LastErrors = s.events.list()
	d.Docker.Socket = s.settings.Docker.Socket
	if s.parts.engine == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, pingLimit)
	defer cancel()
	if err := s.parts.engine.Ping(ctx); err != nil {
		d.Docker.Error = err.Error()
	}
}

// lists are when those of the account were last complete.
func lists(a signallingSession) []status.List {
	out := []status.List{}
	for _, l := range a.members.Lists() {
		out = append(out, status.List(l))
	}
	return out
}

// stanzaDrops joins what the session and the membership have dropped; their causes
// have different names.
func stanzaDrops(a signallingSession) map[string]uint64 {
	drops := a.members.Drops()
	maps.Copy(drops, a.client.Status().Ignored)
	return drops
}

// merge gives what runs the names that Docker knows, and the containers that should
// be attached and are not. A network that does not run, such as one that waits for Open
// vSwitch, is shown as it is stored.
func merge(stored, running []status.Network) []status.Network {
	byID := make(map[string]status.Network, len(running))
	for _, n := range running {
		byID[n.ID] = n
	}
	for i, n := range stored {
		if r, ok := byID[n.ID]; ok {
			r.Name = n.Name
			r.Fault = strings.Join(slices.DeleteFunc([]string{n.Fault, r.Fault}, func(f string) bool { return f == "" }), "; ")
			for _, e := range n.Endpoints {
				if e.State == status.EndpointDetached && !slices.ContainsFunc(r.Endpoints, func(o status.Endpoint) bool { return o.ID == e.ID }) {
					r.Endpoints = append(r.Endpoints, e)
				}
			}
			stored[i] = r
		}
	}
	return stored
}
