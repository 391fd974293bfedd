package ovs

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	openflow "github.com/digitalocean/go-openvswitch/ovs"
)

// entry is one flow in a form that can be compared: what is asked for and what the
// switch shows give equal entries if they are the same flow.
type entry struct {
	Table    int
	Priority int
	Match    string // sorted, in the switch's own words, with time-outs and flags
	Actions  string
	Cookie   uint64
	Packets  uint64 // not compared
}

// key is what identifies a flow within a bridge (OpenFlow 1.4 section 6.4).
func (e entry) key() string {
	return strconv.Itoa(e.Table) + " " + strconv.Itoa(e.Priority) + " " + e.Match
}

// same reports whether two entries do the same and came from the same description.
func (e entry) same(o entry) bool {
	return e.key() == o.key() && e.Actions == o.Actions && e.Cookie == o.Cookie
}

// words maps what ovs-ofctl accepts to what it shows.
var words = map[string]string{"ip_frag": "nw_frag", "icmpv6_type": "icmp_type", "udp_src": "tp_src", "udp_dst": "tp_dst"}

// parseFlow reads one flow, as ovs-ofctl shows it or as it is given to ovs-ofctl.
func parseFlow(line string) (entry, error) {
	match, actions, ok := cutActions(line)
	if !ok || actions == "" {
		return entry{}, fmt.Errorf("flow %q: no actions", line)
	}
	e := entry{Actions: actions, Priority: 0x8000}
	var fields []string
	for field := range strings.FieldsFuncSeq(match, func(r rune) bool { return r == ',' || r == ' ' }) {
		name, value, _ := strings.Cut(field, "=")
		var err error
		switch name {
		case "cookie":
			e.Cookie, err = strconv.ParseUint(value, 0, 64)
		case "table":
			e.Table, err = strconv.Atoi(value)
		case "priority":
			e.Priority, err = strconv.Atoi(value)
		case "n_packets":
			e.Packets, err = strconv.ParseUint(value, 10, 64)
		case "duration", "n_bytes", "idle_age", "hard_age":
		default:
			if field != "idle_timeout=0" {
				fields = append(fields, normal(field))
			}
		}
		if err != nil {
			return entry{}, fmt.Errorf("flow %q: %s: %w", line, name, err)
		}
	}
	slices.Sort(fields)
	e.Match = strings.Join(fields, ",")
	return e, nil
}

// cutActions splits a flow before its actions, which are the last part and may
// contain anything.
func cutActions(line string) (match, actions string, ok bool) {
	const word = "actions="
	for at := 0; ; {
		i := strings.Index(line[at:], word)
		if i < 0 {
			return "", "", false
		}
		at += i
		if at == 0 || line[at-1] == ' ' || line[at-1] == ',' {
			return line[:at], strings.TrimSpace(line[at+len(word):]), true
		}
		at += len(word)
	}
}

// normal brings a field to the switch's own words and IPv6 addresses to one
// spelling.
func normal(field string) string {
	name, value, ok := strings.Cut(field, "=")
	if !ok {
		return field
	}
	if w, ok := words[name]; ok {
		name = w
	}
	if strings.Count(value, ":") >= 2 {
		if p, err := netip.ParsePrefix(value); err == nil {
			value = p.String()
		} else if a, err := netip.ParseAddr(value); err == nil {
			value = a.String()
		}
	}
	return name + "=" + value
}

// parseDump reads the output of ovs-ofctl dump-flows.
func parseDump(out []byte) ([]entry, error) {
	var entries []entry
	for line := range bytes.Lines(out) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || bytes.Contains(line, []byte("ST_FLOW reply")) {
			continue
		}
		e, err := parseFlow(string(line))
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// want marks each flow with a cookie of its own, made from what identifies it, so
// that it can be deleted exactly: a bundle's delete is not strict and by match it
// would take narrower flows with it. The result maps keys to entries, and cookies to
// flows as ovs-ofctl reads them.
func want(flows []*openflow.Flow) (map[string]entry, map[uint64][]byte, error) {
	entries := make(map[string]entry, len(flows))
	byCookie := make(map[uint64][]byte, len(flows))
	for _, f := range flows {
		text, err := f.MarshalText()
		if err != nil {
			return nil, nil, fmt.Errorf("make flow: %w", err)
		}
		e, err := parseFlow(string(text))
		if err != nil {
			return nil, nil, err
		}
		if _, ok := entries[e.key()]; ok {
			return nil, nil, fmt.Errorf("two flows for %q", e.key())
		}
		e.Cookie = cookie(e.key())
		entries[e.key()], byCookie[e.Cookie] = e, fmt.Appendf(nil, "cookie=0x%x,%s", e.Cookie, text)
	}
	if len(byCookie) != len(entries) {
		return nil, nil, errors.New("two flows with one cookie")
	}
	return entries, byCookie, nil
}

// cookie hashes a key; zero stays free for flows of others, and one bit for those of a
// reach.
func cookie(key string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key)) // never fails
	return max(h.Sum64()&^reachFlag, 1)
}

// change is what turns one flow table into another: first everything with the
// cookies to delete goes, then flows are added.
type change struct {
	del []uint64
	add []uint64
}

func (c change) empty() bool { return len(c.del)+len(c.add) == 0 }

// diff compares the table that is there with the one that should be. Foreign flows
// and those that were changed go by their cookie; a wanted flow that goes with them
// because the cookie was copied is added again.
func diff(have []entry, wanted map[string]entry) change {
	good, del := map[uint64]bool{}, map[uint64]bool{}
	for _, e := range have {
		if w, ok := wanted[e.key()]; ok && w.same(e) {
			good[e.Cookie] = true
			continue
		}
		// Adding replaces what has the same key, cookie included.
		if w, ok := wanted[e.key()]; !ok || w.Cookie != e.Cookie {
			del[e.Cookie] = true
		}
	}
	var c change
	c.del = slices.Sorted(maps.Keys(del))
	for _, e := range wanted {
		if !good[e.Cookie] || del[e.Cookie] {
			c.add = append(c.add, e.Cookie)
		}
	}
	slices.Sort(c.add)
	return c
}
