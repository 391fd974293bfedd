package config

import (
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// rows returns the rows of the tables in docs/CONFIGURATION.md that have that many
// columns, by the name in their first cell.
func rows(t *testing.T, columns int) map[string][]string {
	t.Helper()
	b, err := os.ReadFile("../../docs/CONFIGURATION.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for line := range strings.Lines(string(b)) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != columns {
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		out[strings.Trim(cells[0], "`")] = cells[1:]
	}
	return out
}

// settings returns the path of every setting of a file, "[]" for an element.
func settings(typ reflect.Type, path string) []string {
	switch {
	case typ.Kind() == reflect.Struct:
		var out []string
		if list, ok := strings.CutSuffix(path, "[]"); ok {
			out = append(out, list)
		}
		for f := range typ.Fields() {
			out = append(out, settings(f.Type, join(path, f.Tag.Get("json")))...)
		}
		return out
	case typ.Kind() == reflect.Slice && typ.Elem().Kind() == reflect.Struct:
		return settings(typ.Elem(), path+"[]")
	}
	return []string{path}
}

// TestEverySettingIsDocumented: the table has every setting and no other, with the
// default that the code has and an example that is accepted.
func TestEverySettingIsDocumented(t *testing.T) {
	table := rows(t, 5)
	var documented []string
	for path := range table {
		documented = append(documented, path)
	}
	slices.Sort(documented)
	want := settings(reflect.TypeFor[File](), "")
	slices.Sort(want)
	if diff := cmp.Diff(want, documented); diff != "" {
		t.Fatalf("code and documentation differ:\n%s", diff)
	}
	code := regexp.MustCompile("^`.*`$")
	for path, cells := range table {
		unit, standard, example := cells[0], cells[1], cells[2]
		if unit == "" || standard == "" || !code.MatchString(example) {
			t.Errorf("%s: unit %q, default %q, example %q", path, unit, standard, example)
			continue
		}
		if got, faults := Decode(document(path, strings.Trim(example, "`"))); len(faults) != 0 {
			t.Errorf("%s: the example is refused: %v", path, faults)
		} else if cmp.Equal(got, withDefault(path)) {
			t.Errorf("%s: the example is the default", path)
		}
		if !code.MatchString(standard) {
			continue // said in words: it depends on another setting
		}
		got, faults := Decode(document(path, strings.Trim(standard, "`")))
		if len(faults) != 0 {
			t.Errorf("%s: the default is refused: %v", path, faults)
		} else if diff := cmp.Diff(withDefault(path), got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: the default is another:\n%s", path, diff)
		}
	}
}

// beside returns what the element of a list needs beside the setting at path.
func beside(path string) map[string]json.RawMessage {
	switch list, name, _ := strings.Cut(path, "[]."); {
	case name == "certificate_file" || name == "key_file":
		return map[string]json.RawMessage{
			"jid": []byte(`"a@b"`), "certificate_file": []byte(`"/etc/c"`), "key_file": []byte(`"/etc/k"`), "overlays": []byte(`{"*":"roster"}`),
		}
	case list == "signalling":
		return map[string]json.RawMessage{"jid": []byte(`"a@b"`), "password_file": []byte(`"/etc/p"`), "overlays": []byte(`{"*":"roster"}`)}
	case name == "secret_file":
		return map[string]json.RawMessage{"uri": []byte(`"turn:a:1"`)}
	default:
		return map[string]json.RawMessage{"uri": []byte(`"turns:a:1"`), "username": []byte(`"u"`), "password_file": []byte(`"/etc/p"`)}
	}
}

// document returns a file in which the setting at path, and what it needs beside
// it, are set.
func document(path, value string) []byte {
	list, name, ok := strings.Cut(path, "[].")
	if ok {
		element := map[string]json.RawMessage{}
		maps.Copy(element, beside(path))
		element[name] = []byte(value)
		b, _ := json.Marshal(map[string]any{list: []any{element}})
		return b
	}
	outer, inner, ok := strings.Cut(path, ".")
	if ok {
		return []byte(`{"` + outer + `": {"` + inner + `": ` + value + `}}`)
	}
	return []byte(`{"` + path + `": ` + value + `}`)
}

// withDefault returns the settings of a file in which nothing is set but what the
// setting at path needs beside it.
func withDefault(path string) File {
	f := Default()
	list, _, ok := strings.Cut(path, "[].")
	if !ok {
		return f
	}
	b, _ := json.Marshal(map[string]any{list: []any{beside(path)}})
	if err := json.Unmarshal(b, &f); err != nil {
		panic(err)
	}
	for i := range f.Signalling {
		f.Signalling[i].TLS, f.Signalling[i].SASL = StartTLS, SASLBest
	}
	return f
}

// TestEveryVariableIsDeclared: the environment of the code, of config.json and of the
// documentation is one.
func TestEveryVariableIsDeclared(t *testing.T) {
	b, err := os.ReadFile("../../config.json")
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		Env []struct {
			Name, Description, Value string
			Settable                 []string
		}
		Mounts []struct{ Source, Destination string }
	}
	if err := json.Unmarshal(b, &manifest); err != nil {
		t.Fatal(err)
	}
	type variable struct {
		value    string
		settable bool
	}
	declared := map[string]variable{}
	for _, v := range manifest.Env {
		if v.Description == "" {
			t.Errorf("%s has no description", v.Name)
		}
		declared[v.Name] = variable{v.Value, slices.Contains(v.Settable, "value")}
	}
	table := rows(t, 3)
	for _, v := range environment {
		d, ok := declared[v.name]
		delete(declared, v.name)
		doc, documented := table[v.name]
		delete(table, v.name)
		switch v.name {
		case "EVIO_HOST_PREFIX":
			if d != (variable{"/host", false}) {
				t.Errorf("%s is declared as %+v", v.name, d)
			}
			continue
		case "EVIO_SOCKET": // the engine fixes it
			if ok {
				t.Errorf("%s is declared", v.name)
			}
			continue
		}
		if d != (variable{v.standard, true}) {
			t.Errorf("%s is declared as %+v, want the value %q, settable", v.name, d, v.standard)
		}
		if !documented || strings.Trim(doc[0], "`") != v.standard || doc[1] == "" {
			t.Errorf("%s is documented as %q, want the default %q", v.name, doc, v.standard)
		}
	}
	for name := range declared {
		t.Errorf("%s is declared, and the code does not know it", name)
	}
	for name := range table {
		t.Errorf("%s is documented, and the code does not know it", name)
	}
	var sources []string
	for _, m := range manifest.Mounts {
		sources = append(sources, m.Source)
		if m.Destination != "/host"+m.Source {
			t.Errorf("%s is mounted at %s", m.Source, m.Destination)
		}
	}
	slices.Sort(sources)
	var want []string
	for _, m := range mounts {
		want = append(want, m.dir)
	}
	if diff := cmp.Diff(want, sources); diff != "" {
		t.Errorf("mounts: %s", diff)
	}
}
