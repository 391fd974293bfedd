package session

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRekeyMessages(t *testing.T) {
	tests := map[string]struct {
		bytes []byte
		want  rekeyMessage
		ok    bool
	}{
		"empty":         {nil, rekeyMessage{}, false},
		"short":         {[]byte{opFlight, 0, 0, 0}, rekeyMessage{}, false},
		"empty flight":  {[]byte{opFlight, 0, 0, 0, 1}, rekeyMessage{}, false},
		"flight":        {[]byte{opFlight, 0, 0, 1, 2, 22}, rekeyMessage{opFlight, 258, []byte{22}}, true},
		"ask":           {[]byte{opAsk, 0, 0, 0, 9}, rekeyMessage{opAsk, 9, []byte{}}, true},
		"ask with more": {[]byte{opAsk, 0, 0, 0, 9, 1}, rekeyMessage{}, false},
		"unknown":       {[]byte{3, 0, 0, 0, 9, 1}, rekeyMessage{}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, ok := parseRekey(test.bytes)
			if ok != test.ok {
				t.Fatalf("ok = %v, want %v", ok, test.ok)
			}
			if !ok {
				return
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(rekeyMessage{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzRekey parses anything that a peer might put into a rekey record: what is
// taken is what would be written.
func FuzzRekey(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{opFlight, 0, 0, 0, 1, 22, 254, 253})
	f.Add([]byte{opAsk, 0, 0, 0, 1})
	f.Add([]byte{9, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, ok := parseRekey(b); ok && !bytes.Equal(m.append(nil), b) {
			t.Fatalf("%x was taken as %+v", b, m)
		}
	})
}
