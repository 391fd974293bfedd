// Package view writes the status document for people: plain text that fits 100 columns
// where names have the usual length.
//
// It asks nobody and decides nothing; what is healthy the document says.
package view

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"evio/driver/status"
)

// shownEvents is how many of the last warnings and errors are printed.
const shownEvents = 10

// Print writes the document.
func Print(out io.Writer, d status.Document) error {
	p := &page{}
	p.b.WriteString(clean(fmt.Sprintf("evio %s since %s, %s", d.Version, moment(d.Started), span(d.Started, d.Time))) + "\n")
	p.health(d.Health)
	p.settings(d.Settings)
	p.surroundings(d)
	p.signalling(d)
	p.servers(d)
	for _, n := range d.Networks {
		p.network(d, n)
	}
	p.putRight(d)
	p.drops(d)
	p.lastErrors(d)
	_, err := out.Write(p.b.Bytes())
	return err
}

func (p *page) health(h status.Health) {
	if h.Healthy {
		p.b.WriteString("healthy\n")
	} else {
		var parts []string
		for _, g := range h.Degraded {
			if !slices.Contains(parts, g.Part) {
				parts = append(parts, g.Part)
			}
		}
		p.b.WriteString("degraded: " + clean(strings.Join(parts, ", ")) + "\n")
	}
	for _, g := range h.Degraded {
		p.sentence(g.Part+": ", g.Reason)
	}
	for _, n := range h.Notes {
		p.sentence("note: ", n)
	}
}

func (p *page) settings(s status.Settings) {
	p.heading("Settings")
	rows := [][]string{{"NAME", "VALUE", "FROM"}}
	for _, v := range s.Values {
		rows = append(rows, []string{v.Name, v.Value, v.From})
	}
	p.table(rows)
}

// surroundings are what the plugin stands on: switch, socket, engine.
func (p *page) surroundings(d status.Document) {
	p.heading("Engine")
	whose, where := "the host's", "in user space"
	if d.Switch.Own {
		whose = "the plugin's own"
	}
	if d.Switch.Datapath == "system" {
		where = "in the kernel"
	}
	if d.Switch.Version == "" {
		p.line("Open vSwitch: none")
	} else {
		p.line("Open vSwitch: %s, version %s, switching %s", whose, d.Switch.Version, where)
	}
	if d.Transport.Port != 0 {
		p.line("UDP port: %d, established sessions: %d", d.Transport.Port, d.Transport.Sessions["established"])
		p.socketOffload(d.Transport.Offload)
	}
	answers := "answers"
	if d.Docker.Error != "" {
		answers = "does not answer"
	}
	p.line("Docker's API: %s %s", d.Docker.Socket, answers)
	if d.Membership.Identity != "" {
		p.line("Identity: %s", d.Membership.Identity)
	}
	p.reach(d.Reach)
}

func (p *page) signalling(d status.Document) {
	if len(d.Signalling) == 0 {
		return
	}
	p.heading("Signalling")
	rows := [][]string{{"ACCOUNT", "SERVER", "STATE", "SINCE", "FAILURES"}}
	for _, s := range d.Signalling {
		state := "not connected"
		if s.Connected {
			state = "connected"
		}
		rows = append(rows, []string{s.JID, s.Server, state, moment(s.Since), fmt.Sprint(s.Failures)})
	}
	p.table(rows)
	for _, s := range d.Signalling {
		if s.LastError != "" {
			p.sentence("last error of "+s.JID+": ", s.LastError)
		}
	}
}

// servers are those of STUN and TURN. Of the former the document has the settings only.
func (p *page) servers(d status.Document) {
	rows := [][]string{{"SERVER", "STATE", "SINCE", "ALLOCATIONS", "DROPPED"}}
	for _, v := range d.Settings.Values {
		if strings.HasPrefix(v.Name, "stun[") {
			rows = append(rows, []string{"stun:" + v.Value, "", "", "", ""})
		}
	}
	for _, r := range d.Transport.Relays {
		rows = append(rows, []string{r.URI, r.State, moment(r.Since), fmt.Sprint(r.Allocations), fmt.Sprint(r.Dropped)})
	}
	if len(rows) == 1 {
		return
	}
	p.heading("STUN and TURN")
	p.table(rows)
	for _, r := range d.Transport.Relays {
		if r.Reason != "" {
			p.sentence(r.URI+": ", r.Reason)
		}
	}
}

func (p *page) lastErrors(d status.Document) {
	shown := d.LastErrors[max(0, len(d.LastErrors)-shownEvents):]
	if len(shown) == 0 {
		return
	}
	p.heading("Last errors")
	for _, e := range shown {
		label := moment(e.Time) + " " + e.Level + " "
		if e.Count > 1 {
			label = fmt.Sprintf("%s%d times ", label, e.Count)
		}
		text := e.Text
		if e.About != "" {
			text += " (" + e.About + ")"
		}
		p.sentence(label, text)
	}
}
