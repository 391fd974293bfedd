package config

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"evio/internal/suggest"
)

// maxSize bounds the configuration file, in bytes.
const maxSize = 1 << 20

// Decode reads a configuration file. What is not set in b has its default, and so
// has what is at fault; the signalling services count as one setting, since half of
// them would be another membership than the operator wrote.
func Decode(b []byte) (File, Faults) {
	faults, isJSON := check(b)
	if !isJSON {
		return Default(), faults
	}
	read := Default()
	if err := json.Unmarshal(b, &read); err != nil && len(faults) == 0 {
		faults.add("", "%v; correct it", err)
	}
	for i := range read.Signalling {
		s := &read.Signalling[i]
		s.TLS, s.SASL = cmp.Or(s.TLS, StartTLS), cmp.Or(s.SASL, SASLBest)
	}
	shape := slices.Clone(faults)
	for _, f := range read.Validate() {
		if strings.HasPrefix(f.Text, missing) && shape.touch(element(f.Path)) {
			continue // it may be what could not be read there
		}
		if !faults.touch(f.Path) {
			faults = append(faults, f)
		}
	}
	return read.without(faults), faults
}

// element returns the path of the element of a list in which path lies.
func element(path string) string {
	list, rest, ok := strings.Cut(path, "]")
	if !ok || rest == "" {
		return path
	}
	return list + "]"
}

// without returns f with the default for each setting that one of the faults touches.
func (f File) without(faults Faults) File {
	d := Default()
	keep(faults, "site", &f.Site, d.Site)
	keep(faults, "signalling", &f.Signalling, d.Signalling)
	keep(faults, "stun", &f.STUN, d.STUN)
	keep(faults, "turn", &f.TURN, d.TURN)
	keep(faults, "secrets", &f.Secrets, d.Secrets)
	keep(faults, "claims", &f.Claims, d.Claims)
	keep(faults, "membership_max_age", &f.MembershipMaxAge, d.MembershipMaxAge)
	keep(faults, "rekey_seconds", &f.RekeySeconds, d.RekeySeconds)
	keep(faults, "udp_port", &f.UDPPort, d.UDPPort)
	keep(faults, "offload.tap", &f.Offload.TAP, d.Offload.TAP)
	keep(faults, "offload.udp_send", &f.Offload.UDPSend, d.Offload.UDPSend)
	keep(faults, "offload.udp_receive", &f.Offload.UDPReceive, d.Offload.UDPReceive)
	keep(faults, "offload.merge", &f.Offload.Merge, d.Offload.Merge)
	keep(faults, "log.level", &f.Log.Level, d.Log.Level)
	keep(faults, "log.format", &f.Log.Format, d.Log.Format)
	keep(faults, "ovs.run_dir", &f.OVS.RunDir, d.OVS.RunDir)
	keep(faults, "docker.socket", &f.Docker.Socket, d.Docker.Socket)
	keep(faults, "docker.plugin_dir", &f.Docker.PluginDir, d.Docker.PluginDir)
	keep(faults, "state_dir", &f.StateDir, d.StateDir)
	keep(faults, "run_dir", &f.RunDir, d.RunDir)
	return f
}

func keep[T any](faults Faults, path string, v *T, otherwise T) {
	if faults.touch(path) {
		*v = otherwise
	}
}

// check compares the shape of b with File: syntax, names, kinds, repetitions. What
// encoding/json lets pass (names in another case, the last of two equal names, null)
// is a fault here, because an operator who wrote it meant something else.
func check(b []byte) (faults Faults, isJSON bool) {
	if len(b) > maxSize {
		faults.add("", "the file has more than %d bytes; give the path of evio's configuration", maxSize)
		return faults, false
	}
	var whole json.RawMessage
	if err := json.Unmarshal(b, &whole); err != nil {
		faults.add("", "%s; correct the JSON there", syntax(b, err))
		return faults, false
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	w := walker{dec: dec}
	w.value(reflect.TypeFor[File](), "")
	return w.faults, true
}

// syntax says where b stops being JSON.
func syntax(b []byte, err error) string {
	var se *json.SyntaxError
	if !errors.As(err, &se) {
		return err.Error()
	}
	before := b[:min(max(int(se.Offset)-1, 0), len(b))]
	line := 1 + bytes.Count(before, []byte("\n"))
	column := len(before) - bytes.LastIndexByte(before, '\n')
	return fmt.Sprintf("line %d, column %d: %v", line, column, err)
}

// walker goes through valid JSON token by token, beside the type it is meant for.
type walker struct {
	dec    *json.Decoder
	faults Faults
}

// next returns the next token; the text is valid, so there is one.
func (w *walker) next() json.Token {
	t, err := w.dec.Token()
	if err != nil {
		return nil
	}
	return t
}

func (w *walker) value(t reflect.Type, path string) {
	tok := w.next()
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		if tok == json.Delim('{') {
			w.object(t, path)
			return
		}
		w.mismatch(tok, path, "an object in {}")
	case reflect.Slice:
		if tok == json.Delim('[') {
			for i := 0; w.dec.More(); i++ {
				w.value(t.Elem(), index(path, i))
			}
			w.next()
			return
		}
		w.mismatch(tok, path, "a list in []")
	case reflect.Int:
		n, ok := tok.(json.Number)
		if _, err := strconv.Atoi(n.String()); !ok || err != nil {
			w.mismatch(tok, path, "a whole number without quotes")
		}
	default:
		if _, ok := tok.(string); !ok {
			w.mismatch(tok, path, "a text in quotes")
		}
	}
}

func (w *walker) object(t reflect.Type, path string) {
	seen := map[string]bool{}
	for w.dec.More() {
		name, _ := w.next().(string)
		at := join(path, cut(name))
		if t.Kind() == reflect.Map {
			at = key(path, name)
		}
		if seen[name] {
			w.faults.add(at, "it is there twice; keep one")
		}
		seen[name] = true
		if t.Kind() == reflect.Map {
			w.value(t.Elem(), at)
			continue
		}
		if f, ok := field(t, name); ok {
			w.value(f, at)
			continue
		}
		w.unknown(at, name, names(t))
		w.skip(w.next())
	}
	w.next()
}

// unknown notes a name that is no setting's, and which one it most likely means.
func (w *walker) unknown(at, name string, known []string) {
	meant := ";"
	near, ok := suggest.Nearest(name, known)
	if file := name + "_file"; !ok && slices.Contains(known, file) {
		near, ok = file, true // secrets are in files of their own
	}
	if ok {
		meant = ": did you mean " + near + "?"
	}
	w.faults.add(at, "there is no such setting%s known here are %s", meant, strings.Join(known, ", "))
}

// mismatch notes that a value has another kind than it should, and goes past it.
func (w *walker) mismatch(tok json.Token, path, want string) {
	if tok == nil {
		w.faults.add(path, "null is no value; give %s, or leave the setting out", want)
		return
	}
	w.faults.add(path, "it must be %s", want)
	w.skip(tok)
}

// skip goes past the rest of the value that begins with tok.
func (w *walker) skip(tok json.Token) {
	depth := 0
	for {
		switch tok {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth <= 0 {
			return
		}
		tok = w.next()
	}
}

// cut bounds a name that the operator wrote where one of a setting should be.
func cut(name string) string {
	const most = 80
	if len(name) <= most {
		return name
	}
	return strings.ToValidUTF8(name[:most], "") + "…"
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func field(t reflect.Type, name string) (reflect.Type, bool) {
	for f := range t.Fields() {
		if f.Tag.Get("json") == name {
			return f.Type, true
		}
	}
	return nil, false
}

func names(t reflect.Type) []string {
	var out []string
	for f := range t.Fields() {
		out = append(out, f.Tag.Get("json"))
	}
	return slices.Sorted(slices.Values(out))
}
