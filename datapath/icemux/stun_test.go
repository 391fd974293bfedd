package icemux

import (
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/pion/stun/v4"
)

func build(t testing.TB, setters ...stun.Setter) *stun.Message {
	t.Helper()
	m, err := stun.Build(setters...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func check(t testing.TB, username string) *stun.Message {
	t.Helper()
	return build(t, stun.BindingRequest, stun.TransactionID, stun.NewUsername(username),
		stun.NewShortTermIntegrity("password"), stun.Fingerprint)
}

func TestParseMessage(t *testing.T) {
	m := check(t, "local:remote")
	got, ok := parseMessage(m.Raw)
	if !ok || got.typ != typeBindingRequest || got.transaction != m.TransactionID {
		t.Fatalf("parse = %+v, %v", got, ok)
	}
	if ufrag, ok := got.ufrag(); !ok || ufrag != "local" {
		t.Errorf("ufrag = %q, %v, want local", ufrag, ok)
	}
	for name, b := range map[string][]byte{
		"empty":               nil,
		"header cut":          m.Raw[:stunHeaderSize-1],
		"body cut":            m.Raw[:len(m.Raw)-4],
		"longer than it says": append(slices.Clip(m.Raw), 0, 0, 0, 0),
		"without cookie":      append(append(m.Raw[:4:4], 0, 0, 0, 0), m.Raw[8:]...),
		"not STUN":            append([]byte{0x40}, m.Raw[1:]...),
	} {
		if _, ok := parseMessage(b); ok {
			t.Errorf("%s: parsed", name)
		}
	}
}

func TestUsernameWithoutColonHasNoUfrag(t *testing.T) {
	m, _ := parseMessage(check(t, "local").Raw)
	if ufrag, ok := m.ufrag(); ok {
		t.Errorf("ufrag = %q, want none", ufrag)
	}
	m, _ = parseMessage(build(t, stun.BindingRequest, stun.TransactionID).Raw)
	if ufrag, ok := m.ufrag(); ok {
		t.Errorf("ufrag = %q, want none", ufrag)
	}
}

func TestMappedAddress(t *testing.T) {
	for _, want := range []string{"192.0.2.1:32853", "[2001:db8:1234:5678:11:2233:4455:6677]:32853"} {
		addr := netip.MustParseAddrPort(want)
		m, ok := parseMessage(build(t, stun.BindingSuccess, stun.TransactionID,
			&stun.XORMappedAddress{IP: net.IP(addr.Addr().AsSlice()), Port: int(addr.Port())}).Raw)
		if !ok {
			t.Fatal("not parsed")
		}
		if got, ok := m.mapped(); !ok || got != addr {
			t.Errorf("mapped = %v, %v, want %v", got, ok, addr)
		}
	}
}

func TestBindingRequestIsSTUN(t *testing.T) {
	id := transaction{1, 2, 3}
	m := &stun.Message{Raw: bindingRequest(id)}
	if err := m.Decode(); err != nil {
		t.Fatal(err)
	}
	if m.Type != stun.BindingRequest || m.TransactionID != id {
		t.Errorf("message = %v", m)
	}
}

// FuzzParseMessage parses anything: what pion takes for a STUN message with a
// user name must route by the same name.
func FuzzParseMessage(f *testing.F) {
	f.Add(check(f, "local:remote").Raw)
	f.Add(bindingRequest(transaction{}))
	f.Add(build(f, stun.BindingSuccess, stun.TransactionID, &stun.XORMappedAddress{IP: net.IPv4(1, 2, 3, 4), Port: 5}).Raw)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, ok := parseMessage(b)
		if !ok {
			return
		}
		ufrag, ok := m.ufrag()
		_, _ = m.mapped()
		theirs := &stun.Message{Raw: b}
		if !ok || theirs.Decode() != nil {
			return
		}
		name, err := theirs.Get(stun.AttrUsername)
		if err != nil || len(name) < len(ufrag) || string(name[:len(ufrag)]) != ufrag {
			t.Fatalf("ufrag %q of user name %q", ufrag, name)
		}
	})
}
