package packet_test

import (
	"bytes"
	"testing"

	"evio/datapath/packet"
)

func TestLoopProbe(t *testing.T) {
	from := packet.MAC{2, 1, 2, 3, 4, 5}
	number := packet.LoopNumber{1, 2, 3, 15: 9}
	frame := packet.LoopProbe([]byte("before"), from, number)[len("before"):]
	if len(frame) != 60 || packet.Source(frame) != from || !packet.IsMulticast(packet.Destination(frame)) {
		t.Errorf("%x", frame)
	}
	if got, ok := packet.ParseLoopProbe(append(frame, 0, 0)); !ok || got != number {
		t.Errorf("%x, %v", got, ok)
	}
	for name, change := range map[string]func([]byte) []byte{
		"another destination": func(b []byte) []byte { b[5] ^= 1; return b },
		"another EtherType":   func(b []byte) []byte { b[13] ^= 1; return b },
		"another mark":        func(b []byte) []byte { b[20] ^= 1; return b },
		"cut in the number":   func(b []byte) []byte { return b[:14+12+15] },
		"cut in the header":   func(b []byte) []byte { return b[:13] },
		"nothing":             func([]byte) []byte { return nil },
	} {
		if n, ok := packet.ParseLoopProbe(change(bytes.Clone(frame))); ok {
			t.Errorf("%s: taken as %x", name, n)
		}
	}
}

func FuzzLoopProbe(f *testing.F) {
	f.Add(packet.LoopProbe(nil, packet.MAC{2}, packet.LoopNumber{1}))
	f.Add([]byte("\x03evio\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, ok := packet.ParseLoopProbe(b)
		if !ok {
			return
		}
		again := packet.LoopProbe(nil, packet.Source(b), n)
		if known := again[:14+12+16]; !bytes.HasPrefix(b, known) {
			t.Errorf("%x became %x", b, again)
		}
	})
}
