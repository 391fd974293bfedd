package overlay

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func FuzzSplitRecords(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0})
	f.Add([]byte{0, 0})
	f.Add([]byte{0, 1, 7, 0, 2, 8, 9})
	f.Add([]byte{0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		records, err := splitRecords(b)
		if err != nil {
			if records != nil {
				t.Error("records beside an error")
			}
			return
		}
		var back []byte
		for _, r := range records {
			back = binary.BigEndian.AppendUint16(back, uint16(len(r)))
			back = append(back, r...)
		}
		if !bytes.Equal(back, b) {
			t.Errorf("%x became %x", b, back)
		}
	})
}
