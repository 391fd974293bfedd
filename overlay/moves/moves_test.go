package moves

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"

	"evio/overlay/directory"
)

var samples = []Message{
	{Kind: GiveWay, Key: directory.Key{Addr: netip.MustParseAddr("10.1.0.200")}, Party: Party{MAC: directory.MAC{2, 1}, Addr: netip.MustParseAddr("10.1.0.2")}},
	{Kind: Kept, Key: directory.Key{Addr: netip.MustParseAddr("fd00::7")}, Party: Party{MAC: directory.MAC{2, 2}, Addr: netip.MustParseAddr("fd00::2")}},
	{Kind: GiveWay, Key: directory.Key{MAC: directory.MAC{0, 0, 0x5e, 0, 1, 51}}, Party: Party{MAC: directory.MAC{2, 3}}},
}

func TestParse(t *testing.T) {
	for _, m := range samples {
		b := m.Append(nil)
		got, err := Parse(append(b, 1, 2, 3)) // of a later version
		if err != nil || got != m {
			t.Errorf("%x: %+v, %v; want %+v", b, got, err, m)
		}
		for n := range b {
			if _, err := Parse(b[:n]); !errors.Is(err, ErrMalformed) {
				t.Errorf("%x: %v", b[:n], err)
			}
		}
	}
	for name, m := range map[string]Message{
		"no key":       {Kind: GiveWay},
		"two keys":     {Kind: GiveWay, Key: directory.Key{MAC: directory.MAC{2, 3}, Addr: netip.MustParseAddr("10.1.0.200")}},
		"IPv4 in IPv6": {Kind: GiveWay, Key: directory.Key{Addr: netip.MustParseAddr("::ffff:10.1.0.200")}},
	} {
		if _, err := Parse(m.Append(nil)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, m := range samples {
		f.Add(m.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil {
			return
		}
		if again := m.Append(nil); !bytes.HasPrefix(b, again) {
			t.Errorf("%x became %x", b, again)
		}
	})
}
