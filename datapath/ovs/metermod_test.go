package ovs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
)

// dialogue is a switch that has said what it says, and what it was answered.
type dialogue struct {
	io.Reader
	bytes.Buffer
}

func (d *dialogue) Read(b []byte) (int, error) { return d.Reader.Read(b) }

func says(b []byte) *dialogue { return &dialogue{Reader: bytes.NewReader(b)} }

func ofErrorBody(kind, code uint16) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, kind), code)
}

func TestReadAnswers(t *testing.T) {
	hello := appendMessage(nil, ofHello, 0, nil)
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	barrier := appendMessage(nil, ofBarrierReply, 1, nil)
	there := appendMessage(nil, ofError, 7, ofErrorBody(ofMeterFailed, ofMeterExists))
	none := appendMessage(nil, ofError, 8, ofErrorBody(ofMeterFailed, 9))

	d := says(join(hello, appendMessage(nil, ofEchoRequest, 9, []byte("x")), there, barrier))
	if err := readAnswers(d); err != nil {
		t.Errorf("a meter that is there: %v", err)
	}
	if want := appendMessage(nil, ofEchoReply, 9, []byte("x")); !bytes.Equal(d.Bytes(), want) {
		t.Errorf("an echo request was answered with %x, want %x", d.Bytes(), want)
	}
	for name, c := range map[string]struct {
		said    []byte
		want    string
		refused bool
	}{
		"no meters":   {join(hello, appendMessage(nil, ofError, 8, ofErrorBody(ofBadRequest, ofBadType)), barrier), "refused meter 8", true},
		"another":     {join(hello, appendMessage(nil, ofError, 0, ofErrorBody(0, 0)), barrier), "error type 0", false},
		"then broken": {join(hello, none), "EOF", false},
		"refused":     {join(hello, none, there, barrier), "refused meter 8", true},
		"ended early": {join(hello, there), "EOF", false},
		"cut":         {none[:9], "unexpected EOF", false},
		"short":       {[]byte{5, 0, 0, 7, 0, 0, 0, 0}, "7 bytes", false},
		"short error": {join(appendMessage(nil, ofError, 1, []byte{1}), barrier), "1 bytes", false},
	} {
		err := readAnswers(says(c.said))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if _, refused := errors.AsType[refusedMeter](err); refused != c.refused {
			t.Errorf("%s: refused %v, want %v: %v", name, refused, c.refused, err)
		}
	}
}

// FuzzReadAnswers: whatever a switch says, reading ends with it.
func FuzzReadAnswers(f *testing.F) {
	f.Add(appendMessage(nil, ofHello, 0, nil))
	f.Add(appendMessage(appendMessage(nil, ofError, 8, ofErrorBody(ofMeterFailed, 9)), ofBarrierReply, 1, nil))
	f.Add(appendMessage(nil, ofEchoRequest, 1, []byte("abc")))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := says(b)
		if err := readAnswers(d); err == nil && !bytes.Contains(b, []byte{ofBarrierReply}) {
			t.Error("an end without the switch's answer to the barrier")
		}
		if d.Len() > len(b) {
			t.Errorf("%d bytes were answered to %d", d.Len(), len(b))
		}
	})
}
