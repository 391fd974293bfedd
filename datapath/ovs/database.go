package ovs

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/digitalocean/go-openvswitch/ovsdb"
)

// Keys of the external identifiers that mark what is ours.
const (
	keyBridge = "evio"        // of a bridge: the network
	keyEngine = "evio-engine" // of a bridge: the engine
	keyPort   = "evio"        // of an interface: the role
	keyIndex  = "evio-index"  // of an interface: the device's number when it was added
	keyCheck  = "evio-check"  // of a bridge: changed to make the switch look again
)

// observed is what the database says about a bridge or the whole switch.
type observed struct {
	version    string
	interfaces map[string]iface  // by name
	bridges    map[string]bridge // by name
}

// bridge is a row of table Bridge.
type bridge struct {
	network    string
	engine     string
	ours       bool // evio's, of whatever engine
	failMode   string
	datapath   string
	controlled bool     // somebody named a controller
	ports      []string // without the bridge's own
}

// iface is a row of table Interface.
type iface struct {
	ofport    int // 0: not yet known, −1: broken
	requested int
	mtu       int // requested
	role      string
	index     string
	problem   string
}

// selection reads columns of a whole table; the library's own Select reads all
// columns, among them statistics.
type selection struct {
	table   string
	columns []string
}

// MarshalJSON writes the operation of RFC 7047 section 5.2.2.
func (s selection) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{"op": "select", "table": s.table, "where": []any{}, "columns": s.columns})
}

// The columns read. No two sets are equal, and rows are told apart by them because
// the library returns the rows of all tables in one list.
var selections = []ovsdb.TransactOp{
	selection{"Open_vSwitch", []string{"ovs_version"}},
	selection{"Bridge", []string{"name", "external_ids", "fail_mode", "datapath_type", "controller", "ports"}},
	selection{"Port", []string{"_uuid", "name"}},
	selection{"Interface", []string{"name", "ofport", "ofport_request", "mtu_request", "external_ids", "error"}},
}

// read takes a consistent picture of the database.
func (p programs) read(ctx context.Context) (*observed, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", p.databaseSocket())
	if err != nil {
		return nil, fmt.Errorf("reach the database of Open vSwitch: %w", err)
	}
	client, err := ovsdb.New(&onceConn{Conn: conn, lost: cancel})
	if err != nil {
		return nil, fmt.Errorf("read the database of Open vSwitch: %w", err)
	}
	defer client.Close() //nolint:errcheck // nothing was written
	rows, err := client.Transact(ctx, "Open_vSwitch", selections)
	if err != nil {
		return nil, fmt.Errorf("read the database of Open vSwitch at %s: %w", p.databaseSocket(), err)
	}
	return interpret(rows), nil
}

// onceConn ends its user's work when reading fails. The library waits for ever for
// an answer that does not come, and reads again and again after any error but one.
type onceConn struct {
	net.Conn
	lost func()
}

func (c *onceConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		c.lost()
		return n, net.ErrClosed
	}
	return n, nil
}

// interpret makes sense of the rows of all selections.
func interpret(rows []ovsdb.Row) *observed {
	o := &observed{interfaces: map[string]iface{}, bridges: map[string]bridge{}}
	portNames := map[string]string{}
	for _, r := range rows {
		if id, ok := r["_uuid"]; ok {
			portNames[atom(id)] = text(r["name"])
		}
	}
	for _, r := range rows {
		name := text(r["name"])
		switch {
		case has(r, "ovs_version"):
			o.version = text(r["ovs_version"])
		case has(r, "fail_mode"):
			o.bridges[name] = bridgeRow(name, r, portNames)
		case has(r, "ofport"):
			ids := mapping(r["external_ids"])
			o.interfaces[name] = iface{
				ofport: number(r["ofport"]), requested: number(r["ofport_request"]), mtu: number(r["mtu_request"]),
				role: ids[keyPort], index: ids[keyIndex], problem: text(r["error"]),
			}
		}
	}
	return o
}

func bridgeRow(name string, r ovsdb.Row, portNames map[string]string) bridge {
	ids := mapping(r["external_ids"])
	network, ours := ids[keyBridge]
	b := bridge{
		network: network, engine: ids[keyEngine], ours: ours,
		failMode: text(r["fail_mode"]), datapath: text(r["datapath_type"]), controlled: len(members(r["controller"])) > 0,
	}
	for _, id := range members(r["ports"]) {
		if port := portNames[atom(id)]; port != "" && port != name {
			b.ports = append(b.ports, port)
		}
	}
	slices.Sort(b.ports)
	return b
}

func has(r ovsdb.Row, column string) bool { _, ok := r[column]; return ok }

// The notation of RFC 7047 section 5.1: an atom is a string, a number, a boolean
// or ["uuid", x]; a set is an atom or ["set", [atoms]]; a map is ["map", [pairs]].

// members returns the atoms of a set.
func members(v any) []any {
	if pair, ok := v.([]any); ok && len(pair) == 2 && pair[0] == "set" {
		list, _ := pair[1].([]any)
		return list
	}
	return []any{v}
}

// atom returns a string or the text of a UUID.
func atom(v any) string {
	if pair, ok := v.([]any); ok && len(pair) == 2 && pair[0] == "uuid" {
		v = pair[1]
	}
	s, _ := v.(string)
	return s
}

// text returns a string, or "" for an empty set.
func text(v any) string {
	if m := members(v); len(m) == 1 {
		return atom(m[0])
	}
	return ""
}

// number returns an integer, or 0 for an empty set.
func number(v any) int {
	if m := members(v); len(m) == 1 {
		n, _ := m[0].(float64)
		return int(n)
	}
	return 0
}

// mapping returns a map of strings.
func mapping(v any) map[string]string {
	out := map[string]string{}
	if kind, ok := v.([]any); ok && len(kind) == 2 && kind[0] == "map" {
		pairs, _ := kind[1].([]any)
		for _, p := range pairs {
			if kv, ok := p.([]any); ok && len(kv) == 2 {
				out[atom(kv[0])] = atom(kv[1])
			}
		}
	}
	return out
}

// answers reports whether a database serves the socket within a second.
func (p programs) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err := p.read(ctx)
	return err
}
