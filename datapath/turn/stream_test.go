package turn

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/pion/stun/v4"
)

// TestStream: whatever pieces a stream comes in, its messages are the same, and none reaches
// into what is to come.
func TestStream(t *testing.T) {
	var want [][]byte
	var whole []byte
	for i := range 200 {
		m := appendChannel(nil, minChannel, bytes.Repeat([]byte{byte(i)}, i*7%maxRelayed), true)
		if i%10 == 3 {
			m = stun.MustBuild(stun.TransactionID, stun.BindingSuccess).Raw
		}
		want = append(want, m)
		whole = append(whole, m...)
		if i%50 == 20 {
			whole = appendChannel(whole, minChannel, make([]byte, 65530), true) // is skipped
		}
	}
	for name, r := range map[string]io.Reader{
		"at once":               bytes.NewReader(whole),
		"in halves":             iotest.HalfReader(bytes.NewReader(whole)),
		"byte by byte":          iotest.OneByteReader(bytes.NewReader(whole)),
		"with the end at once":  iotest.DataErrReader(bytes.NewReader(whole)),
		"in records of TLS":     readerOf{bytes.NewReader(whole), 16 << 10},
		"in records of 1 prime": readerOf{bytes.NewReader(whole), 1009},
	} {
		t.Run(name, func(t *testing.T) {
			var s stream
			var got [][]byte
			for {
				messages, err := s.receive(r)
				for _, m := range messages {
					got = append(got, bytes.Clone(m.Data))
				}
				for _, m := range messages {
					clear(m.Data[:cap(m.Data)]) // which a receiver may do when it has taken all
				}
				if err != nil {
					if !errors.Is(err, io.EOF) {
						t.Error(err)
					}
					break
				}
			}
			if len(got) != len(want) {
				t.Fatalf("%d messages, want %d", len(got), len(want))
			}
			for i := range want {
				if !bytes.Equal(got[i], want[i]) {
					t.Fatalf("message %d is another", i)
				}
			}
		})
	}
}

// readerOf reads at most n bytes at once.
type readerOf struct {
	io.Reader
	n int
}

func (r readerOf) Read(b []byte) (int, error) { return r.Reader.Read(b[:min(len(b), r.n)]) }

func TestStreamEndsWithWhatIsNoMessage(t *testing.T) {
	var s stream
	b := append(appendChannel(nil, minChannel, []byte("last"), true), 0xff, 0xff, 0xff, 0xff)
	messages, err := s.receive(bytes.NewReader(b))
	if !errors.Is(err, errMessage) || len(messages) != 1 || string(messages[0].Data[channelHeader:]) != "last" {
		t.Errorf("%q, %v", messages, err)
	}
}

// FuzzStream cuts a stream. Messages are whole, lie in the stream in order, and do not depend
// on the pieces that it comes in.
func FuzzStream(f *testing.F) {
	b := appendChannel(nil, minChannel, []byte("hello"), true)
	b = append(b, stun.MustBuild(stun.TransactionID, stun.BindingSuccess).Raw...)
	f.Add(b, uint16(3))
	f.Add([]byte{0, 1, 0xff, 0xf0}, uint16(1))
	f.Fuzz(func(t *testing.T, b []byte, piece uint16) {
		all := func(r io.Reader) (got [][]byte) {
			var s stream
			for {
				messages, err := s.receive(r)
				for _, m := range messages {
					if n := len(m.Data); n < channelHeader || n > maxMessage {
						t.Fatalf("a message of %d bytes", n)
					}
					if m.Data[0]>>6 == 1 && int(binary.BigEndian.Uint16(m.Data[2:]))+channelHeader > len(m.Data) {
						t.Errorf("ChannelData is cut: %x", m.Data)
					}
					got = append(got, bytes.Clone(m.Data))
				}
				if err != nil {
					if !errors.Is(err, io.EOF) && !errors.Is(err, errMessage) {
						t.Error(err)
					}
					return got
				}
			}
		}
		whole, pieces := all(bytes.NewReader(b)), all(readerOf{bytes.NewReader(b), int(piece) + 1})
		if !bytes.Equal(bytes.Join(whole, nil), bytes.Join(pieces, nil)) || len(whole) != len(pieces) {
			t.Errorf("%d messages at once, %d in pieces", len(whole), len(pieces))
		}
		rest := b
		for _, m := range whole {
			i := bytes.Index(rest, m)
			if i < 0 {
				t.Fatalf("%x is not in the stream there", m)
			}
			rest = rest[i+len(m):]
		}
	})
}
