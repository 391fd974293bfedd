package status

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// running is the document of an engine on which everything works.
func running() Document {
	return Document{
		Switch:     Switch{Own: true, Datapath: "system", Version: "3.1.0"},
		Transport:  Transport{Port: 14790, Relays: []Relay{{URI: "turn:a", State: "failed", Reason: "no answer"}, {URI: "turn:b", State: "unused"}}},
		Signalling: []Signalling{{JID: "a@x", Connected: true, LastError: "of last week"}},
		Networks: []Network{{
			ID: "0123456789abcdef", Name: "blue", Running: true, Bridge: "evb0", Ports: []string{"evf0", "evh0"},
			Endpoints: []Endpoint{
				{ID: "e", Interface: "evh0", Addresses: []string{"10.9.0.2"}, State: EndpointAttached},
				{ID: "f", MAC: "0a:00:00:00:00:01", Interface: "evh1", State: EndpointChanging},
				{ID: "g", State: EndpointCreated},
			},
			Members:  []Member{{JID: "b@x", Node: "01", Online: true, LastError: "of last week"}, {JID: "c@x", Node: "02"}},
			Sessions: []Session{{Node: "01", State: "established"}},
		}},
		Docker: Docker{Socket: "/run/docker.sock"},
	}
}

func TestJudge(t *testing.T) {
	since := time.Date(2026, 11, 21, 1, 2, 3, 0, time.UTC)
	for _, c := range []struct {
		name   string
		change func(*Document)
		want   []Degraded
	}{
		{"everything works", func(*Document) {}, nil},
		{"alone", func(d *Document) { d.Networks[0].Members, d.Networks[0].Sessions = nil, nil }, nil},
		{"no networks, no relays", func(d *Document) { d.Networks, d.Transport.Relays = nil, nil }, nil},
		{"settings", func(d *Document) {
			d.Settings.Faults = []string{"a: is wrong", "b: is wrong"}
			d.Faults = []string{"a: is wrong; b: is wrong"}
		}, []Degraded{{PartSettings, "a: is wrong"}, {PartSettings, "b: is wrong"}}},
		{"state", func(d *Document) {
			d.State.Faults = []string{"file x is damaged"}
			d.Faults = []string{"file x is damaged"}
		}, []Degraded{{PartState, "file x is damaged"}}},
		{"switch", func(d *Document) { d.Switch, d.Faults = Switch{Error: "no tun"}, []string{"no tun"} }, []Degraded{{PartSwitch, "no tun"}}},
		{"transport", func(d *Document) { d.Transport = Transport{Error: "port taken"} }, []Degraded{{PartTransport, "port taken"}}},
		{"signalling away", func(d *Document) {
			d.Signalling = append(d.Signalling, Signalling{JID: "b@y", Since: since, LastError: "connection refused"})
		}, []Degraded{{PartSignalling, "account b@y is not connected since 2026-11-21T01:02:03Z, so sessions that are up go on and no new ones are made: connection refused"}}},
		{"signalling starts", func(d *Document) { d.Signalling[0] = Signalling{JID: "a@x"} },
			[]Degraded{{PartSignalling, "account a@x is not connected, so sessions that are up go on and no new ones are made: it has not logged in yet"}}},
		{"membership", func(d *Document) {
			d.Membership.Faults = []string{"room r is open"}
			d.Faults = []string{"room r is open"}
		}, []Degraded{{PartSignalling, "room r is open"}}},
		{"narrow path", func(d *Document) {
			n := &d.Networks[0]
			n.Sessions[0].JID, n.Sessions[0].Narrow = "b@x", &Narrow{FullBytes: 1473, TakesBytes: 1400, MTU: 1327}
			d.Faults = []string{"network blue: " + n.NarrowPaths()[0]}
		}, []Degraded{{PartNetworks, "network blue: the path to b@x takes no packets of 1473 bytes, as full frames of this network become, and its frames are cut to packets of 1400 bytes, which costs throughput: mend what drops large packets on the way, or remove the network at each site and create it again with -o com.docker.network.driver.mtu=1327"}}},
		{"path narrower than any MTU", func(d *Document) {
			n := &d.Networks[0]
			n.Sessions[0].JID, n.Sessions[0].Narrow = "b@x", &Narrow{FullBytes: 1473, TakesBytes: 576, MTU: 503}
		}, []Degraded{{PartNetworks, "network blue: the path to b@x takes no packets of 1473 bytes, as full frames of this network become, and its frames are cut to packets of 576 bytes, which costs throughput: mend what drops large packets on the way"}}},
		{"all relays", func(d *Document) {
			d.Transport.Relays[1] = Relay{URI: "turn:b", State: "failed", Reason: "wrong password"}
		},
			[]Degraded{{PartRelays, "no TURN server can be used: turn:a: no answer; turn:b: wrong password"}}},
		{"network does not run", func(d *Document) { d.Networks[0] = Network{ID: "0123456789abcdef"} },
			[]Degraded{{PartNetworks, "network 0123456789ab: it has no bridge yet: it is being made or restored"}}},
		{"network with a fault", func(d *Document) {
			d.Networks[0].Fault, d.Networks[0].Ports = "no space", nil
			d.Faults = []string{"network blue: no space"}
		}, []Degraded{{PartNetworks, "network blue: no space"}}},
		{"bridge gone", func(d *Document) { d.Networks[0].Ports = []string{} }, []Degraded{{PartNetworks, "network blue: the switch has no bridge evb0: it is made anew within seconds; if this stays, disable and enable the plugin"}}},
		{"port gone", func(d *Document) { d.Networks[0].Ports = []string{"evf0"} },
			[]Degraded{{PartNetworks, "network blue: interface evh0 of the container with 10.9.0.2 is no port of bridge evb0: it is added again within seconds; if this stays, disable and enable the plugin"}}},
		{"container detached", func(d *Document) { d.Networks[0].Endpoints[1].State = EndpointDetached },
			[]Degraded{{PartNetworks, "network blue: the container with 0a:00:00:00:00:01 is not attached: restart it if it still runs"}}},
		{"address of another node", func(d *Document) {
			d.Networks[0].Conflicts = []Conflict{{Address: "10.9.0.2", JID: "b@x", Site: "b", Since: since}, {MAC: "0a:00:00:00:00:01", Node: "03", Since: since}}
		}, []Degraded{
			{PartNetworks, "network blue: address 10.9.0.2 of a container here belongs to b@x at site b since 2026-11-21T01:02:03Z: give one of the two containers another address"},
			{PartNetworks, "network blue: MAC address 0a:00:00:00:00:01 of a container here belongs to node 03 since 2026-11-21T01:02:03Z: give one of the two containers another MAC address"},
		}},
		{"overlapping ranges", func(d *Document) {
			d.Networks[0].Warnings, d.Faults = []string{"both hand out"}, []string{"both hand out"}
		}, []Degraded{{PartNetworks, "network blue: both hand out"}}},
		{"member without a session", func(d *Document) { d.Networks[0].Sessions[0].State = "connecting" },
			[]Degraded{{PartNetworks, "network blue: member b@x is online without a session: of last week"}}},
		{"member at first contact", func(d *Document) { d.Networks[0].Members[1].Online = true },
			[]Degraded{{PartNetworks, "network blue: member c@x is online without a session: one is being made"}}},
		{"docker", func(d *Document) { d.Docker.Error = "connection refused" },
			[]Degraded{{PartDocker, "Docker's API at /run/docker.sock does not answer: connection refused"}}},
		{"another fault", func(d *Document) { d.Faults = []string{"something else"} }, []Degraded{{PartOther, "something else"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := running()
			c.change(&d)
			want := Health{Healthy: c.want == nil, Degraded: append([]Degraded{}, c.want...), Notes: []string{}}
			if diff := cmp.Diff(want, Judge(d)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestJudgeLocal: an engine without signalling is healthy, and a note says why it is alone.
func TestJudgeLocal(t *testing.T) {
	d := running()
	d.Signalling = nil
	want := Health{Healthy: true, Degraded: []Degraded{}, Notes: []string{"no signalling service is configured: networks are of this engine only; to reach other sites, name one in the configuration file"}}
	if diff := cmp.Diff(want, Judge(d)); diff != "" {
		t.Error(diff)
	}
	d.Settings.Values = []Setting{{Name: "signalling[0].jid", Value: "a@x", From: "file"}}
	d.State.Faults = []string{"the identity cannot be read"} // so nothing logs in
	if notes := Judge(d).Notes; len(notes) != 0 {
		t.Errorf("notes %q although a service is configured", notes)
	}
}
