package rekey

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRekeyMessages(t *testing.T) {
	tests := map[string]struct {
		bytes []byte
		want  Message
		ok    bool
	}{
		"empty":         {nil, Message{}, false},
		"short":         {[]byte{OpFlight, 0, 0, 0}, Message{}, false},
		"empty flight":  {[]byte{OpFlight, 0, 0, 0, 1}, Message{}, false},
		"flight":        {[]byte{OpFlight, 0, 0, 1, 2, 22}, Message{OpFlight, 258, []byte{22}}, true},
		"ask":           {[]byte{OpRequest, 0, 0, 0, 9}, Message{OpRequest, 9, []byte{}}, true},
		"ask with more": {[]byte{OpRequest, 0, 0, 0, 9, 1}, Message{}, false},
		"unknown":       {[]byte{3, 0, 0, 0, 9, 1}, Message{}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, ok := Parse(test.bytes)
			if ok != test.ok {
				t.Fatalf("ok = %v, want %v", ok, test.ok)
			}
			if !ok {
				return
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(Message{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzRekey parses anything that a peer might put into a rekey record: what is
// taken is what would be written.
func FuzzRekey(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{OpFlight, 0, 0, 0, 1, 22, 254, 253})
	f.Add([]byte{OpRequest, 0, 0, 0, 1})
	f.Add([]byte{9, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, ok := Parse(b); ok && !bytes.Equal(m.Append(nil), b) {
			t.Fatalf("%x was taken as %+v", b, m)
		}
	})
}
