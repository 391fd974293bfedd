package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Where the value of a setting is from, if not from a variable of the environment. A
// default that stands in the file too is a default.
const (
	FromDefault = "default"
	FromFile    = "file"
)

// Item is one setting with its value, for people.
type Item struct {
	Name  string // such as signalling[0].jid; for what no setting of the file says, the variable
	Value string
	From  string // FromDefault, FromFile, or the name of the variable
}

// List returns the settings that have a value, in the order of [File], and what only
// the environment says. Secrets are not among them: the files that hold them are.
func (s Settings) List() []Item {
	standard := map[string]string{}
	for _, i := range leaves(nil, reflect.ValueOf(Default()), "") {
		standard[i.Name] = i.Value
	}
	for i := range s.Signalling {
		standard[index("signalling", i)+".tls"] = StartTLS
		standard[index("signalling", i)+".sasl"] = SASLBest
	}
	list := leaves(nil, reflect.ValueOf(s.File), "")
	for i := range list {
		list[i].From = FromFile
		if v, ok := standard[list[i].Name]; ok && v == list[i].Value {
			list[i].From = FromDefault
		}
	}
	only := map[string]string{
		"EVIO_CONFIG": s.ConfigPath, "EVIO_HOST_PREFIX": s.HostPrefix, "EVIO_SOCKET": s.Socket, "EVIO_V1_NAMES": strings.Join(s.V1Names, ","),
	}
	for _, name := range slices.Sorted(maps.Keys(only)) {
		if only[name] != "" {
			list = append(list, Item{Name: name, Value: only[name], From: FromDefault})
		}
	}
	for _, v := range environment {
		at := slices.IndexFunc(list, func(i Item) bool { return i.Name == v.setting || i.Name == v.name })
		if at >= 0 && slices.Contains(s.Variables, v.name) {
			list[at].From = v.name
		}
	}
	return list
}

// leaves appends what is in v, each text and number below its name. There is nothing else
// in a File.
func leaves(list []Item, v reflect.Value, at string) []Item {
	switch v.Kind() {
	case reflect.Struct:
		for f, field := range v.Fields() {
			list = leaves(list, field, join(at, f.Tag.Get("json")))
		}
	case reflect.Slice:
		for i := range v.Len() {
			list = leaves(list, v.Index(i), index(at, i))
		}
	case reflect.Map:
		names := v.MapKeys()
		slices.SortFunc(names, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, name := range names {
			list = leaves(list, v.MapIndex(name), key(at, name.String()))
		}
	default:
		if text := fmt.Sprint(v.Interface()); text != "" {
			list = append(list, Item{Name: at, Value: text})
		}
	}
	return list
}
