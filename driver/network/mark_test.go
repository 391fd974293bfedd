package network

import (
	"strings"
	"testing"

	"evio/datapath/netdev"
)

func TestMarks(t *testing.T) {
	for want, mark := range map[markOwner]string{
		{network: "n"}:                 deviceMark("e", "n"),
		{network: "n2"}:                deviceMark("e", "n2", markPeer, "01"),
		{network: "n", endpoint: "ep"}: deviceMark("e", "n", markEndpoint, "ep"),
	} {
		if got, ok := readMark("e", mark); !ok || got != want {
			t.Errorf("%q: %+v, %v", mark, got, ok)
		}
		if _, ok := readMark("other", mark); ok {
			t.Errorf("%q is taken for another engine's", mark)
		}
	}
	for _, mark := range []string{
		"", "evio", "evio e network", "evio e network ", "evio e network n endpoint", "evio e network n endpoint ", "evio e network n other x",
		"evio e network n endpoint x y", "Evio e network n", "evio  e network n", "uplink of e",
	} {
		if got, ok := readMark("e", mark); ok {
			t.Errorf("%q is taken for a mark: %+v", mark, got)
		}
	}
	for _, odd := range []string{"", "a b", "a\n", strings.Repeat("x", netdev.MaxMark)} {
		if mark := deviceMark("e", "n", markEndpoint, odd); mark != "" {
			t.Errorf("an endpoint %q is marked with %q", odd, mark)
		}
	}
	if mark := deviceMark(strings.Repeat("e", 16), strings.Repeat("n", 64), markEndpoint, strings.Repeat("p", 64)); mark == "" {
		t.Error("no mark with Docker's names")
	}
}

// FuzzReadMark gives any alias of a device: what is read is what would be written.
func FuzzReadMark(f *testing.F) {
	f.Add("e", deviceMark("e", "n"))
	f.Add("e", deviceMark("e", "n", markEndpoint, "ep"))
	f.Add("", "evio  network x peer y")
	f.Fuzz(func(t *testing.T, engine, text string) {
		o, ok := readMark(engine, text)
		if !ok || o.endpoint == "" {
			return
		}
		if again := deviceMark(engine, o.network, markEndpoint, o.endpoint); again != "" && again != text {
			t.Errorf("%q is read as %+v, which is %q", text, o, again)
		}
	})
}
