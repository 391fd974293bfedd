package driver

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestInterfaceNames(t *testing.T) {
	old, newer := parseEngineVersion("28.5.2+dfsg4"), parseEngineVersion("29.8.0")
	for _, c := range []struct {
		name   any
		engine engineVersion
		want   []string // of the refusal
	}{
		{"lan0", old, nil}, {"lan0", newer, nil}, {"lan0", engineVersion{}, nil},
		{"store", newer, nil}, {"store", engineVersion{}, nil}, {"store", old, []string{`"store"`, "Docker 28.5.2+dfsg4 numbers", "such as lan0", "29.8"}},
		{"lan00", old, []string{"lan00", "numbers"}}, {"12", old, []string{"12", "numbers"}}, {"12", newer, nil},
		{"a-b.c_9", old, nil}, {strings.Repeat("x", 15), newer, nil},
		{"", newer, []string{"1 to 15"}}, {strings.Repeat("x", 16), newer, []string{"1 to 15"}}, {"a b", newer, []string{"a b"}},
		{"a/b", newer, []string{"a/b"}}, {"eth%d", newer, []string{"eth%d"}}, {"..", newer, []string{".."}}, {"lo", newer, []string{"lo"}},
		{"all", newer, []string{"all"}}, {"default", newer, []string{"default"}}, {7.0, newer, []string{`"7"`}},
	} {
		got, err := checkEndpointOptions(map[string]any{optionIfName: c.name}, c.engine)
		says(t, err, c.want...)
		if c.want == nil && (err != nil || got != c.name) {
			t.Errorf("%v at %q: %q, %v", c.name, c.engine.text, got, err)
		}
	}
	for text, ok := range map[string]bool{"lan": true, "l": true, "lan-1": true, "": false, "a b": false, "abcdefghijkl": true, "abcdefghijklm": false, "eth%d": false} {
		got, err := parseNetworkOptions(map[string]any{keyGeneric: map[string]any{optionIfPrefix: text}}, old)
		if (err == nil) != ok || ok && got.IfPrefix != text {
			t.Errorf("prefix %q: %+v, %v", text, got, err)
		}
	}
}

// TestJoinAnswers: what Docker gets as the name of an interface.
func TestJoinAnswers(t *testing.T) {
	for _, c := range []struct{ prefix, name, want string }{
		{"", "", `{"SrcName":"evc1","DstPrefix":"eth"}`},
		{"lan", "", `{"SrcName":"evc1","DstPrefix":"lan"}`},
		{"lan", "wan3", `{"SrcName":"evc1","DstPrefix":"wan","DstName":"wan3"}`},
		{"", "store", `{"SrcName":"evc1","DstPrefix":"store","DstName":"store"}`},
		{"", "12", `{"SrcName":"evc1","DstPrefix":"eth","DstName":"12"}`},
	} {
		resp := JoinResponse{InterfaceName: (&endpointRecord{ContainerIf: "evc1", IfName: c.name}).interfaceName(&networkRecord{IfPrefix: c.prefix})}
		b, err := json.Marshal(resp)
		if err != nil {
			t.Fatal(err)
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(b, &fields); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, string(fields["InterfaceName"])); diff != "" || len(fields) != 5 {
			t.Errorf("%s %s", b, diff)
		}
	}
}
