package testbed

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strings"
)

var (
	//go:embed prosody.cfg.lua
	prosodyConfig []byte
	//go:embed mod_groups_push.lua
	prosodyGroups []byte
	//go:embed mod_rooms_file.lua
	prosodyRooms []byte
)

// prosody keeps group and rooms in files that two small modules bring to those who are connected.
type prosody struct {
	machine *Machine
	rooms   map[string][]string // members by room
}

func (p *prosody) install(ctx context.Context, certificate, key []byte) error {
	const modules = "/usr/local/lib/prosody/modules/"
	for _, f := range []struct {
		name string
		data []byte
	}{
		{"/etc/prosody/prosody.cfg.lua", prosodyConfig},
		{"/etc/prosody/groups.txt", section(Group, nil)},
		{"/etc/prosody/rooms.txt", nil},
		{"/etc/prosody/certs/" + XMPPDomain + ".crt", certificate},
		{"/etc/prosody/certs/" + XMPPDomain + ".key", key},
		{modules + "mod_groups_push.lua", prosodyGroups},
		{modules + "mod_rooms_file.lua", prosodyRooms},
	} {
		if err := p.machine.WriteFile(ctx, f.name, f.data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (*prosody) command() []string { return []string{"prosody", "-F"} }

func (*prosody) ready() string { return "test -S /run/prosody.sock" }

func (p *prosody) register(ctx context.Context, user, password string) error {
	_, err := p.machine.Run(ctx, "prosodyctl", "register", user, XMPPDomain, password)
	return err
}

func (p *prosody) unregister(ctx context.Context, user string) error {
	_, err := p.machine.Run(ctx, "prosodyctl", "shell", "user", "delete", user+"@"+XMPPDomain)
	return err
}

func (p *prosody) group(ctx context.Context, jids []string) error {
	if err := p.machine.WriteFile(ctx, "/etc/prosody/groups.txt", section(Group, jids), 0o600); err != nil {
		return err
	}
	return p.reload(ctx, XMPPDomain, "groups", "groups_push")
}

func (p *prosody) room(ctx context.Context, name string, jids []string) error {
	if p.rooms == nil {
		p.rooms = map[string][]string{}
	}
	p.rooms[name] = jids
	var file []byte
	for name, members := range p.rooms {
		file = append(file, section(name, members)...)
	}
	if err := p.machine.WriteFile(ctx, "/etc/prosody/rooms.txt", file, 0o600); err != nil {
		return err
	}
	return p.reload(ctx, RoomsDomain, "rooms_file")
}

func (p *prosody) reload(ctx context.Context, host string, modules ...string) error {
	for _, m := range modules {
		out, err := p.machine.Run(ctx, "prosodyctl", "shell", "module", "reload", m, host)
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
	return nil
}

// section is a list of JIDs under a name, as mod_groups reads it.
func section(name string, jids []string) []byte {
	return []byte("[" + name + "]\n" + strings.Join(append(slices.Clip(jids), ""), "\n"))
}
