package connect

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/webrtc/v4"
	"pgregory.net/rapid"

	"evio/datapath/record"
	"evio/datapath/session/path"
)

var compareAddrPorts = cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })

var anyCandidate = rapid.Custom(func(t *rapid.T) path.Candidate {
	addr := netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "IPv4")))
	if rapid.Bool().Draw(t, "is IPv6") {
		b := [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "IPv6"))
		b[0] = 0x20
		addr = netip.AddrFrom16(b)
	}
	return path.Candidate{
		Type: rapid.SampledFrom([]webrtc.ICECandidateType{
			webrtc.ICECandidateTypeHost, webrtc.ICECandidateTypeSrflx, webrtc.ICECandidateTypeRelay,
		}).Draw(t, "type"),
		Addr: netip.AddrPortFrom(addr, rapid.Uint16Min(1).Draw(t, "port")),
	}
})

func sample() Parameters {
	return Parameters{
		MinVersion: 1,
		MaxVersion: 2,
		Index:      0xcafe0001,
		Ufrag:      "abcdEFGH1234",
		Password:   "0123456789abcdefghijklmnopqrstuv",
		Candidates: []path.Candidate{
			{Type: webrtc.ICECandidateTypeHost, Addr: netip.MustParseAddrPort("192.0.2.1:4000")},
			{Type: webrtc.ICECandidateTypeHost, Addr: netip.MustParseAddrPort("[2001:db8::1]:4000")},
			{Type: webrtc.ICECandidateTypeSrflx, Addr: netip.MustParseAddrPort("203.0.113.1:61000")},
		},
		AEADs:      []record.AEAD{record.AES128GCM, record.ChaCha20Poly1305},
		Encryption: EncryptionRequired,
		Location:   "rack 7",
	}
}

func TestParametersSurviveTheirEncoding(t *testing.T) {
	text := func(shortest, longest int) *rapid.Generator[string] {
		return rapid.StringOfN(rapid.SampledFrom([]rune("abcXYZ019+/")), shortest, longest, -1)
	}
	rapid.Check(t, func(t *rapid.T) {
		lowest := rapid.Uint16Min(1).Draw(t, "lowest version")
		p := Parameters{
			MinVersion: lowest,
			MaxVersion: rapid.Uint16Min(lowest).Draw(t, "highest version"),
			Index:      rapid.Uint32Min(1).Draw(t, "index"),
			Ufrag:      text(minUfrag, maxUfrag).Draw(t, "ufrag"),
			Password:   text(minPassword, maxPassword).Draw(t, "password"),
			Candidates: rapid.SliceOfN(anyCandidate, 0, path.MaxCandidates).Draw(t, "candidates"),
			AEADs: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) record.AEAD {
				return record.AEAD(rapid.Byte().Draw(t, "AEAD"))
			}), 1, maxAEADs).Draw(t, "AEADs"),
			Encryption: rapid.SampledFrom([]Encryption{EncryptionPreferred, EncryptionRequired}).Draw(t, "encryption"),
			Location:   rapid.StringN(0, 40, MaxLocation).Draw(t, "location"),
			Secret:     rapid.Bool().Draw(t, "secret"),
		}
		if len(p.Candidates) == 0 {
			p.Candidates = nil
		}
		encoded := p.Append(nil)
		if len(encoded) > MaxParameters {
			t.Fatalf("%d bytes, at most %d are allowed", len(encoded), MaxParameters)
		}
		got, err := ParseParameters(encoded)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p, got, compareAddrPorts); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

func TestUnknownParametersAreSkipped(t *testing.T) {
	want := sample()
	b := want.Append(nil)
	b = path.AppendField(b, 200, []byte("of a later version"))
	b = path.AppendField(b, 200, nil)
	b = path.AppendField(b, path.FieldCandidate, []byte("candidate:1 1 udp 1 192.0.2.9 9 typ later")) // a type of a later version
	got, err := ParseParameters(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, compareAddrPorts); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParametersAreChecked(t *testing.T) {
	change := func(f func(*Parameters)) []byte {
		p := sample()
		f(&p)
		return p.Append(nil)
	}
	good := sample().Append(nil)
	tests := map[string][]byte{
		"empty":                    nil,
		"unknown format":           append([]byte{2}, good[1:]...),
		"cut short":                good[:len(good)-1],
		"nothing but format":       good[:1],
		"too long":                 append(slices.Clone(good), bytes.Repeat([]byte{200, 0, 0}, MaxParameters)...),
		"index given twice":        append(slices.Clone(good), good[8:15]...),
		"index is zero":            change(func(p *Parameters) { p.Index = 0 }),
		"version zero":             change(func(p *Parameters) { p.MinVersion = 0 }),
		"versions the wrong way":   change(func(p *Parameters) { p.MinVersion = 3 }),
		"short ufrag":              change(func(p *Parameters) { p.Ufrag = "abc" }),
		"ufrag with a colon":       change(func(p *Parameters) { p.Ufrag = "abcd:efgh" }),
		"short password":           change(func(p *Parameters) { p.Password = "abc" }),
		"long password":            change(func(p *Parameters) { p.Password = strings.Repeat("a", 65) }),
		"no cipher":                change(func(p *Parameters) { p.AEADs = nil }),
		"too many candidates":      change(func(p *Parameters) { p.Candidates = slices.Repeat(p.Candidates, 6) }),
		"candidate without port":   change(func(p *Parameters) { p.Candidates[0].Addr = netip.MustParseAddrPort("192.0.2.1:0") }),
		"candidate is mapped":      change(func(p *Parameters) { p.Candidates[0].Addr = netip.MustParseAddrPort("[::ffff:192.0.2.1]:9") }),
		"candidate of five bytes":  path.AppendField(slices.Clone(good), path.FieldCandidate, make([]byte, 5)),
		"unknown policy":           change(func(p *Parameters) { p.Encryption = 9 }),
		"secret of two bytes":      path.AppendField(slices.Clone(good[:len(good)-4]), fieldSecret, []byte{1, 1}),
		"secret neither nor":       path.AppendField(slices.Clone(good[:len(good)-4]), fieldSecret, []byte{2}),
		"location of 256 bytes":    change(func(p *Parameters) { p.Location = strings.Repeat("x", 256) }),
		"field longer than parent": {parametersFormat, fieldUfrag, 0xff, 0xff, 'a'},
	}
	for name, b := range tests {
		t.Run(name, func(t *testing.T) {
			if p, err := ParseParameters(b); err == nil {
				t.Errorf("parsed as %+v", p)
			}
		})
	}
}

// FuzzParseParameters parses anything; what is accepted is within its bounds
// and means the same after another round.
func FuzzParseParameters(f *testing.F) {
	f.Add(sample().Append(nil))
	f.Add(path.AppendField(sample().Append(nil), 200, []byte("later")))
	f.Add([]byte{parametersFormat})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseParameters(b)
		if err != nil {
			return
		}
		if len(p.Candidates) > path.MaxCandidates || len(p.AEADs) > maxAEADs || p.Index == 0 {
			t.Fatalf("accepted %+v", p)
		}
		again, err := ParseParameters(p.Append(nil))
		if err != nil {
			t.Fatalf("own encoding is refused: %v", err)
		}
		if diff := cmp.Diff(p, again, compareAddrPorts); diff != "" {
			t.Fatalf("(-first +again):\n%s", diff)
		}
	})
}
