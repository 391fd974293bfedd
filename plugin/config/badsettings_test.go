package config

import (
	"encoding/json"
	"maps"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// bad has, for each setting of a file, values of the right kind that are refused, by
// what is wrong with them. A setting without an entry fails TestBadSettings; a string
// that may be empty says so. What is wrong with every setting (another kind, null, given
// twice, a mistyped name, far too long) is made up by the test.
var bad = map[string]map[string][]string{
	"signalling":                    {"too many": {manyServices(9)}, "contradictory": {manyServices(2, "a@b")}},
	"signalling[].server":           {"may be empty": nil, "out of range": {`"a:0"`, `"a:65536"`}, "malformed": {`"a"`, `"a b:1"`}},
	"signalling[].tls":              {"may be empty": nil, "unknown": {`"none"`, `"STARTTLS"`}},
	"signalling[].sasl":             {"may be empty": nil, "unknown": {`"plain"`, `"SCRAM"`, `"SCRAM-SHA-256"`}},
	"signalling[].jid":              {"empty": {`""`}, "malformed": {`"b"`, `"@b"`, `"a@"`, `"a@b/c"`, `"a b@c"`}},
	"signalling[].password_file":    {"empty": {`""`}, "malformed": {`"etc/p"`, `"/etc/a\u0000b"`}},
	"signalling[].certificate_file": {"contradictory": {`""`}, "malformed": {`"c"`}},
	"signalling[].key_file":         {"contradictory": {`""`}, "malformed": {`"k"`}},
	"signalling[].ca_file":          {"may be empty": nil, "malformed": {`"ca.pem"`}},
	"signalling[].overlays":         {"empty": {`{}`}, "malformed": {`{"a b": "roster"}`, `{"": "roster"}`, `{"*": ""}`, `{"*": "group:"}`, `{"*": "room:x"}`}},
	"stun":                          {"too many": {`["a:1","a:1","a:1","a:1","a:1"]`}, "malformed": {`["a"]`, `[""]`, `["a:0"]`, `["a:65536"]`}},
	"turn": {"too many": {manyTURN(5)}, "contradictory": {
		`[{"uri": "turn:a:1", "username": "u", "password_file": "/etc/p", "secret_file": "/etc/s"}]`,
		`[{"uri": "turn:a:1", "username": "u", "password_file": "/etc/p", "ca_file": "/etc/ca"}]`,
	}},
	"turn[].uri":           {"empty": {`""`}, "malformed": {`"a:1"`, `"turn:"`, `"turn:a:0"`, `"turn:a:1?transport=sctp"`}},
	"turn[].username":      {"empty": {`""`}, "malformed": {`"a\u0007"`}},
	"turn[].password_file": {"empty": {`""`}, "malformed": {`"p"`}},
	"turn[].secret_file":   {"may be empty": nil, "malformed": {`"s"`}},
	"turn[].ca_file":       {"may be empty": nil, "malformed": {`"ca.pem"`}},
	"secrets":              {"malformed": {`{"*": "/etc/s"}`, `{"": "/etc/s"}`, `{"a": ""}`, `{"a": "s"}`}},
	"claims": {"malformed": {`{"a": ["10.0.0.0/8"]}`, `{"a@b": ["10.0.0.0"]}`, `{"a@b": ["10.0.0.1/8"]}`, `{"a@b": []}`}, "contradictory": {
		`{"a@b": ["10.0.0.0/8"], "c@d": ["10.1.0.0/16"]}`, `{"a@b": ["10.0.0.0/8"], "A@b": ["fd00::/8"]}`,
	}, "too many": {manyPrefixes(maxClaims + 1)}},
	"membership_max_age":  {"out of range": {`59`, `31536001`, `1`, `-60`}},
	"rekey_seconds":       {"out of range": {`9`, `86401`, `0`, `-1`}},
	"udp_port":            {"out of range": {`-1`, `65536`}},
	"offload.tap":         {"empty": {`""`}, "unknown": {`"on"`, `"OFF"`}},
	"offload.udp_send":    {"empty": {`""`}, "unknown": {`"on"`, `"Auto"`}},
	"offload.udp_receive": {"empty": {`""`}, "unknown": {`"on"`, `"false"`}},
	"offload.merge":       {"empty": {`""`}, "unknown": {`"on"`, `"0"`}},
	"log.level":           {"empty": {`""`}, "unknown": {`"loud"`, `"INFO"`}},
	"log.format":          {"empty": {`""`}, "unknown": {`"xml"`}},
	"ovs.run_dir":         {"empty": {`""`}, "malformed": {`"x"`, `"/run/a\nb"`}, "out of reach": {`"/srv/ovs"`}},
	"docker.socket":       {"empty": {`""`}, "malformed": {`"unix:///run/docker.sock"`}, "out of reach": {`"/srv/d"`}},
	"docker.plugin_dir":   {"empty": {`""`}, "malformed": {`"x"`}, "out of reach": {`"/usr/lib/docker/plugins"`}},
	"state_dir":           {"empty": {`""`}, "malformed": {`"x"`}, "out of reach": {`"/etc/evio"`, `"/run/../srv"`}},
	"site":                {"may be empty": nil, "malformed": {`"a b"`, `"a/b"`}},
	"run_dir":             {"empty": {`""`}, "malformed": {`"x"`}, "out of reach": {`"/tmp"`}},
}

// badVariables is bad for the environment. An empty variable counts as one that is not set.
var badVariables = map[string][]string{
	"EVIO_CONFIG":              {"config.json", "/etc/a\nb"},
	"EVIO_HOST_PREFIX":         {"host"},
	"EVIO_SOCKET":              {"evio.sock"},
	"EVIO_V1_NAMES":            {"a/b", ",", ".x", strings.Repeat("a,", 20) + "a"},
	"EVIO_SITE":                {"a b", "-"},
	"EVIO_LOG_LEVEL":           {"loud", "5"},
	"EVIO_LOG_FORMAT":          {"xml", "true"},
	"EVIO_UDP_PORT":            {"many", "-1", "65536", "1.5", "99999999999999999999"},
	"EVIO_OFFLOAD_TAP":         {"on", "0"},
	"EVIO_OFFLOAD_UDP_SEND":    {"on", "OFF"},
	"EVIO_OFFLOAD_UDP_RECEIVE": {"on", "no"},
	"EVIO_OFFLOAD_MERGE":       {"on", "false"},
	"EVIO_OVS_RUNDIR":          {"x", "/srv/ovs"},
	"EVIO_DOCKER_SOCKET":       {"tcp://localhost:2375", "/srv/docker.sock"},
	"EVIO_PLUGIN_DIR":          {"x", "/srv"},
	"EVIO_STATE_DIR":           {"evio", "/etc/evio"},
	"EVIO_RUN_DIR":             {"evio", "/tmp"},
}

func manyPrefixes(n int) string {
	var list []string
	for i := range n {
		list = append(list, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32).String())
	}
	b, _ := json.Marshal(map[string][]string{"a@b": list})
	return string(b)
}

func manyServices(n int, jid ...string) string {
	var list []map[string]any
	for i := range n {
		account := "a" + strconv.Itoa(i) + "@b"
		if len(jid) > 0 {
			account = jid[0]
		}
		list = append(list, map[string]any{"jid": account, "password_file": "/etc/p", "overlays": map[string]string{"o" + strconv.Itoa(i): "roster"}})
	}
	b, _ := json.Marshal(list)
	return string(b)
}

func manyTURN(n int) string {
	return "[" + strings.Repeat(`{"uri": "turn:a:1", "username": "u", "password_file": "/etc/p"},`, n-1) +
		`{"uri": "turn:a:1", "username": "u", "password_file": "/etc/p"}]`
}

// advice is what a sentence of use has: what to do.
var advice = regexp.MustCompile(`\b(give|keep|write|choose|use|name|put|leave|join|correct|make|must be|did you mean)\b`)

// refuse loads a file that must be refused, with sentences about the setting at path
// alone, and checks that what comes out can be used.
func refuse(t *testing.T, what, path string, file []byte) {
	t.Helper()
	_ = refusal(t, what, path, file)
}

// refusal is refuse and returns the faults.
func refusal(t *testing.T, what, path string, file []byte, env ...string) Faults {
	t.Helper()
	s, faults := Load(env2(append(env, "EVIO_HOST_PREFIX", host(t, string(file)))...))
	if len(faults) == 0 {
		t.Errorf("%s: nothing is refused in %.200s", what, file)
		return nil
	}
	about := regexp.MustCompile(`\[\d+\]`)
	for _, f := range faults {
		at := about.ReplaceAllString(f.Path, "[]")
		if path != "" && !within(at, path) && !within(path, at) {
			t.Errorf("%s: %q is about another setting than %s", what, f, path)
		}
		if text := f.Error(); strings.ContainsAny(text, "\n\r") || len(text) > 600 || !advice.MatchString(text) {
			t.Errorf("%s: no sentence of use: %q", what, text)
		}
	}
	if wrong := s.validate(); len(wrong) > 0 {
		t.Errorf("%s: what comes out has faults: %v", what, wrong)
	}
	return faults
}

// env2 is env whose last pair does not hide an earlier one.
func env2(pairs ...string) func(string) string {
	given := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		if _, ok := given[pairs[i]]; !ok {
			given[pairs[i]] = pairs[i+1]
		}
	}
	return func(name string) string { return given[name] }
}

// TestBadSettings: every setting refuses what cannot be, and says what and where.
func TestBadSettings(t *testing.T) {
	known := settings(reflect.TypeFor[File](), "")
	if diff := cmp.Diff(slices.Sorted(slices.Values(known)), slices.Sorted(maps.Keys(bad))); diff != "" {
		t.Fatalf("settings of the code, and settings with an entry in this table:\n%s", diff)
	}
	for _, path := range known {
		t.Run(path, func(t *testing.T) {
			typ := typeOf(t, path)
			for kind, values := range bad[path] {
				for _, v := range values {
					refuse(t, kind, path, document(path, v))
				}
			}
			for _, v := range otherKinds(typ) {
				refuse(t, "another kind", path, document(path, v))
			}
			refuse(t, "null", path, document(path, "null"))
			if typ.Kind() == reflect.String {
				refuse(t, "too long", path, document(path, strconv.Quote(tooLong(path))))
				_, mayBe := bad[path]["may be empty"]
				_, empty := bad[path]["empty"]
				_, contradicts := bad[path]["contradictory"]
				if !mayBe && !empty && !contradicts {
					t.Errorf("the table does not say whether %s may be empty", path)
				}
				if _, faults := Decode(document(path, `""`)); mayBe != (len(faults) == 0) && path != "turn[].secret_file" { // that one is needed where password_file is not given
					t.Errorf("empty: %v", faults)
				}
			}
			name := path[strings.LastIndexAny(path, ".]")+1:]
			wrong := strings.Replace(string(document(path, `"x"`)), strconv.Quote(name)+":", strconv.Quote(mistype(name))+":", 1)
			if !strings.Contains(wrong, mistype(name)) {
				t.Fatalf("%s is not in %s", name, wrong)
			}
			faults := refusal(t, "mistyped", "", []byte(wrong))
			if len(faults) > 0 && !strings.Contains(faults.Error(), "did you mean "+name+"?") {
				t.Errorf("mistyped as %s: %v", mistype(name), faults)
			}
			twice := strings.Replace(string(document(path, `"x"`)), strconv.Quote(name)+":", strconv.Quote(name)+`: "y", `+strconv.Quote(name)+":", 1)
			if faults := refusal(t, "twice", "", []byte(twice)); !strings.Contains(faults.Error(), "it is there twice") {
				t.Errorf("twice: %v", faults)
			}
		})
	}
}

// TestBadVariables: every variable refuses what cannot be, and says what and where.
func TestBadVariables(t *testing.T) {
	var known []string
	for _, v := range environment {
		known = append(known, v.name)
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(known)), slices.Sorted(maps.Keys(badVariables))); diff != "" {
		t.Fatalf("variables of the code, and variables with an entry in this table:\n%s", diff)
	}
	for name, values := range badVariables {
		t.Run(name, func(t *testing.T) {
			for _, v := range append(values, "/run/"+strings.Repeat("x", 5000)) {
				faults := refusal(t, v[:min(20, len(v))], "", []byte("{}"), name, v)
				if !slices.ContainsFunc(faults, func(f Fault) bool { return f.Path == name }) {
					t.Errorf("%s=%.80q: %v", name, v, faults)
				}
			}
			if _, faults := Load(env2(name, "", "EVIO_CONFIG", "/nowhere")); len(faults) > 0 {
				t.Errorf("empty: %v", faults)
			}
		})
	}
}

// typeOf returns the type of the setting at path.
func typeOf(t *testing.T, path string) reflect.Type {
	t.Helper()
	typ := reflect.TypeFor[File]()
	for name := range strings.SplitSeq(path, ".") {
		element := strings.HasSuffix(name, "[]")
		f, ok := field(typ, strings.TrimSuffix(name, "[]"))
		if !ok {
			t.Fatalf("no setting %s", path)
		}
		if typ = f; element {
			typ = f.Elem()
		}
	}
	return typ
}

// otherKinds returns JSON values of every kind but that of the type.
func otherKinds(typ reflect.Type) []string {
	all := map[reflect.Kind]string{reflect.String: `"text"`, reflect.Int: `7`, reflect.Slice: `[]`, reflect.Map: `{}`, reflect.Bool: `true`, reflect.Float64: `1.5`}
	delete(all, typ.Kind())
	return slices.Collect(maps.Values(all))
}

// mistype types the last letter of a name twice.
func mistype(name string) string { return name + name[len(name)-1:] }

// tooLong returns a value that has the form of the setting at path and is far too long.
func tooLong(path string) string {
	long := strings.Repeat("x", 5000)
	switch path {
	case "signalling[].server":
		return long + ":5222"
	case "signalling[].jid":
		return long + "@example.org"
	case "turn[].uri":
		return "turn:" + long + ":1"
	case "turn[].username", "signalling[].tls", "log.level", "log.format", "site",
		"offload.tap", "offload.udp_send", "offload.udp_receive", "offload.merge":
		return long
	case "state_dir", "run_dir", "ovs.run_dir", "docker.socket", "docker.plugin_dir":
		return "/run/" + long
	}
	return "/etc/" + long
}

// FuzzEnvironment: whatever a variable says, what comes out can be used, and a fault
// names the variable.
func FuzzEnvironment(f *testing.F) {
	for i, v := range environment {
		f.Add(uint8(i), v.standard)
		for _, text := range badVariables[v.name] {
			f.Add(uint8(i), text)
		}
	}
	prefix := f.TempDir()
	f.Fuzz(func(t *testing.T, which uint8, text string) {
		name := environment[int(which)%len(environment)].name
		s, faults := Load(env2(name, text, "EVIO_HOST_PREFIX", prefix, "EVIO_CONFIG", "/etc/none"))
		if wrong := s.validate(); len(wrong) > 0 {
			t.Fatalf("%s=%q: what comes out has faults: %v", name, text, wrong)
		}
		for _, fault := range faults {
			if (fault.Path != name && name != "EVIO_HOST_PREFIX" && name != "EVIO_CONFIG") || strings.ContainsAny(fault.Error(), "\n\r") || len(fault.Error()) > 600 {
				t.Fatalf("%s=%q: %q", name, text, fault)
			}
		}
	})
}
