package testbed

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

//go:embed ejabberd.yml
var ejabberdConfig []byte

// ejabberd is administered by its HTTP API on loopback: ejabberdctl would start an Erlang machine
// for every act.
type ejabberd struct {
	machine *Machine
}

func (e *ejabberd) install(ctx context.Context, certificate, key []byte) error {
	if err := e.machine.WriteFile(ctx, "/etc/ejabberd/ejabberd.yml", ejabberdConfig, 0o600); err != nil {
		return err
	}
	pem := append(append([]byte(nil), key...), certificate...)
	if err := e.machine.WriteFile(ctx, "/etc/ejabberd/server.pem", pem, 0o600); err != nil {
		return err
	}
	_, err := e.machine.Script(ctx, `
sed 's/as_current_user) "/as_current_user) exec "/' /usr/sbin/ejabberdctl >/usr/local/sbin/ejabberd
chmod 755 /usr/local/sbin/ejabberd
chown -R ejabberd: /etc/ejabberd /var/lib/ejabberd /var/log/ejabberd
install -d -o ejabberd /run/ejabberd`)
	return err
}

func (*ejabberd) command() []string {
	// The script, as install leaves it, becomes the server: signals are for that.
	return []string{
		"setpriv", "--reuid", "ejabberd", "--regid", "ejabberd", "--init-groups",
		"env", "HOME=/var/lib/ejabberd", "ERL_EPMD_ADDRESS=127.0.0.1", "ejabberd", "--node", "ejabberd@localhost", "foreground",
	}
}

func (*ejabberd) ready() string { return "probe tcp-check 127.0.0.1:5280" }

func (e *ejabberd) register(ctx context.Context, user, password string) error {
	if err := e.call(ctx, "register", map[string]any{"user": user, "host": XMPPDomain, "password": password}, nil); err == nil {
		return nil
	}
	return e.call(ctx, "change_password", map[string]any{"user": user, "host": XMPPDomain, "newpass": password}, nil)
}

func (e *ejabberd) unregister(ctx context.Context, user string) error {
	return e.call(ctx, "unregister", map[string]any{"user": user, "host": XMPPDomain}, nil)
}

func (e *ejabberd) group(ctx context.Context, jids []string) error {
	at := map[string]any{"group": Group, "host": XMPPDomain}
	create := map[string]any{"group": Group, "host": XMPPDomain, "label": Group, "description": "", "display": []string{Group}}
	if err := e.call(ctx, "srg_create", create, nil); err != nil {
		return err
	}
	var have []string
	if err := e.call(ctx, "srg_get_members", at, &have); err != nil {
		return err
	}
	return e.change(ctx, have, jids, func(jid string, member bool) error {
		user, _, _ := strings.Cut(jid, "@")
		act := "srg_user_del"
		if member {
			act = "srg_user_add"
		}
		return e.call(ctx, act, map[string]any{"user": user, "host": XMPPDomain, "group": Group, "grouphost": XMPPDomain}, nil)
	})
}

func (e *ejabberd) room(ctx context.Context, name string, jids []string) error {
	at := map[string]any{"room": name, "service": RoomsDomain}
	var rooms []string
	if err := e.call(ctx, "muc_online_rooms", map[string]any{"service": RoomsDomain}, &rooms); err != nil {
		return err
	}
	if !slices.Contains(rooms, name+"@"+RoomsDomain) {
		if err := e.call(ctx, "create_room", map[string]any{"room": name, "service": RoomsDomain, "host": XMPPDomain}, nil); err != nil {
			return err
		}
	}
	var affiliations []struct{ JID, Affiliation string }
	if err := e.call(ctx, "get_room_affiliations", at, &affiliations); err != nil {
		return err
	}
	var have []string
	for _, a := range affiliations {
		if a.Affiliation == "member" {
			have = append(have, a.JID)
		}
	}
	return e.change(ctx, have, jids, func(jid string, member bool) error {
		affiliation := "none"
		if member {
			affiliation = "member"
		}
		user, host, _ := strings.Cut(jid, "@")
		return e.call(ctx, "set_room_affiliation",
			map[string]any{"room": name, "service": RoomsDomain, "user": user, "host": host, "affiliation": affiliation}, nil)
	})
}

// change calls set for each difference between what there is and what there shall be.
func (*ejabberd) change(ctx context.Context, have, want []string, set func(jid string, member bool) error) error {
	for _, jid := range have {
		if !slices.Contains(want, jid) {
			if err := set(jid, false); err != nil {
				return err
			}
		}
	}
	for _, jid := range want {
		if !slices.Contains(have, jid) {
			if err := set(jid, true); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// call does an act of ejabberd's API and decodes the answer unless it is nil.
func (e *ejabberd) call(ctx context.Context, act string, arguments map[string]any, answer any) error {
	body, err := json.Marshal(arguments)
	if err != nil {
		return fmt.Errorf("ejabberd %s: %w", act, err)
	}
	out, err := e.machine.Pipe(ctx, strings.NewReader(string(body)),
		"curl", "--silent", "--show-error", "--fail-with-body", "--max-time", "10", "--data-binary", "@-", "http://127.0.0.1:5280/api/"+act)
	if err != nil {
		return fmt.Errorf("ejabberd %s: %w: %s", act, err, out)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal([]byte(out), answer); err != nil {
		return fmt.Errorf("ejabberd %s answers %q: %w", act, out, err)
	}
	return nil
}
