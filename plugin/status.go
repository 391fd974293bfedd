package main

import (
	"context"
	"maps"
	"time"

	"evio/driver"
	"evio/driver/status"
)

var _ status.Source = source{}

// source collects the status document from the parts.
type source struct {
	started time.Time
	driver  *driver.Driver
	parts   parts
}

// Status implements status.Source.
func (s source) Status(ctx context.Context) status.Document {
	d := status.Document{
		Version: version(), Started: s.started.UTC(), Process: status.ThisProcess(),
		Calls: s.driver.Calls(), Faults: s.driver.Faults(),
	}
	if s.parts.plane == nil {
		return d
	}
	d.Faults = append(d.Faults, s.parts.book.Faults()...)
	d.Faults = append(d.Faults, s.parts.plane.Faults()...)
	var err error
	if d.Switch, err = s.parts.plane.Switch(); err != nil {
		d.Faults = append(d.Faults, err.Error())
	}
	d.Networks = merge(s.driver.Networks(), s.parts.plane.Networks(ctx))
	t := s.parts.transport.Stats()
	d.Transport = status.Transport{
		Port: t.Port, Datagrams: t.Socket.Received, Drops: t.Drops, Sessions: t.Sessions, Agents: t.Agents,
	}
	for cause, count := range map[string]uint64{"truncated": t.Socket.Truncated, "buffer-full": t.Socket.Overflow} {
		if count > 0 {
			d.Transport.Drops[cause] += count
		}
	}
	for _, r := range t.Relays {
		d.Transport.Relays = append(d.Transport.Relays, status.Relay{
			URI: r.URI, State: r.State, Reason: r.Reason, Since: r.Since, Allocations: r.Allocations, Dropped: r.Dropped,
		})
	}
	for _, a := range s.parts.accounts {
		st := a.client.Status()
		d.Signalling = append(d.Signalling, status.Signalling{
			Server: a.service.Server, JID: a.service.JID, Connected: st.Connected, Since: st.Since, LastError: st.LastError,
			Failures: st.Failures, Strangers: a.members.Strangers(), Drops: stanzaDrops(a),
		})
	}
	return d
}

// stanzaDrops joins what the session and the membership have dropped; their causes
// have different names.
func stanzaDrops(a account) map[string]uint64 {
	drops := a.members.Drops()
	maps.Copy(drops, a.client.Status().Ignored)
	return drops
}

// merge gives what runs the names that Docker knows. A network that does not run,
// such as one that waits for Open vSwitch, is told as it is stored.
func merge(stored, running []status.Network) []status.Network {
	byID := make(map[string]status.Network, len(running))
	for _, n := range running {
		byID[n.ID] = n
	}
	for i, n := range stored {
		if r, ok := byID[n.ID]; ok {
			r.Name = n.Name
			stored[i] = r
		}
	}
	return stored
}
