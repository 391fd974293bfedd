package device

import (
	"strings"
	"testing"

	"evio/datapath/netdev"
)

func TestMarks(t *testing.T) {
	for want, mark := range map[Owner]string{
		{Network: "n"}:                 Mark("e", "n"),
		{Network: "n2"}:                Mark("e", "n2", ForPeer, "01"),
		{Network: "n", Endpoint: "ep"}: Mark("e", "n", ForEndpoint, "ep"),
	} {
		if got, ok := ReadMark("e", mark); !ok || got != want {
			t.Errorf("%q: %+v, %v", mark, got, ok)
		}
		if _, ok := ReadMark("other", mark); ok {
			t.Errorf("%q is taken for another engine's", mark)
		}
	}
	for _, mark := range []string{
		"", "evio", "evio e network", "evio e network ", "evio e network n endpoint", "evio e network n endpoint ", "evio e network n other x",
		"evio e network n endpoint x y", "Evio e network n", "evio  e network n", "uplink of e",
	} {
		if got, ok := ReadMark("e", mark); ok {
			t.Errorf("%q is taken for a mark: %+v", mark, got)
		}
	}
	for _, odd := range []string{"", "a b", "a\n", strings.Repeat("x", netdev.MaxMark)} {
		if mark := Mark("e", "n", ForEndpoint, odd); mark != "" {
			t.Errorf("an endpoint %q is marked with %q", odd, mark)
		}
	}
	if mark := Mark(strings.Repeat("e", 16), strings.Repeat("n", 64), ForEndpoint, strings.Repeat("p", 64)); mark == "" {
		t.Error("no mark with Docker's names")
	}
}

// FuzzReadMark gives any alias of a device: what is read is what would be written.
func FuzzReadMark(f *testing.F) {
	f.Add("e", Mark("e", "n"))
	f.Add("e", Mark("e", "n", ForEndpoint, "ep"))
	f.Add("", "evio  network x peer y")
	f.Fuzz(func(t *testing.T, engine, text string) {
		o, ok := ReadMark(engine, text)
		if !ok || o.Endpoint == "" {
			return
		}
		if again := Mark(engine, o.Network, ForEndpoint, o.Endpoint); again != "" && again != text {
			t.Errorf("%q is read as %+v, which is %q", text, o, again)
		}
	})
}
