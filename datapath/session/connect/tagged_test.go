package connect

import (
	"bytes"
	"encoding/binary"
	"testing"

	"evio/datapath/udp"
)

// FuzzHandshake passes anything to a handshake connection: only datagrams with
// the peer's tag are taken.
func FuzzHandshake(f *testing.F) {
	binding := [32]byte{5}
	own, err := NewTaggedConn(false, 7, binding, func([]byte) {})
	if err != nil {
		f.Fatal(err)
	}
	body := []byte("DTLS")
	genuine := make([]byte, HandshakeHeader, 64)
	genuine[0] = udp.FirstHandshake
	binary.BigEndian.PutUint32(genuine[1:], 7)
	copy(genuine[5:], tag(own.receiveKey, genuine[1:5], body))
	genuine = append(genuine, body...)
	if ok, taken := own.Accept(genuine); !ok || !taken {
		f.Fatal("a genuine datagram is refused")
	}
	f.Add(genuine[:HandshakeHeader+1])
	f.Add(append(bytes.Clone(genuine), 1))
	f.Fuzz(func(t *testing.T, d []byte) {
		if len(d) <= HandshakeHeader || bytes.Equal(d[1:], genuine[1:]) {
			return
		}
		if ok, _ := own.Accept(d); ok {
			t.Fatalf("%x was taken", d)
		}
	})
}
