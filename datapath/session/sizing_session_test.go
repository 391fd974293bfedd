package session

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"evio/datapath/record"
)

// TestNarrowPathCarriesFullFrames: when a path stops taking large datagrams, in one
// direction or in both, both ends notice within seconds, though only one sends large
// frames, and full frames arrive again, cut; when it is mended they go whole again.
func TestNarrowPathCarriesFullFrames(t *testing.T) {
	for _, direction := range []string{"both", "there", "back"} {
		t.Run(direction, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network, a, b *end) {
				establish(t, a, b)
				frame := bytes.Repeat([]byte{7}, 1414)
				send := func(d time.Duration) (got, sent int) {
					for range d / (50 * time.Millisecond) {
						if err := a.session.Send(Data, [][]byte{frame}); err != nil {
							t.Error(err)
						}
						sent++
						advance(50 * time.Millisecond)
					}
					for len(b.received) > 0 {
						for _, f := range (<-b.received).frames {
							if !bytes.Equal(f, frame) {
								t.Errorf("a frame of %d bytes", len(f))
							}
							got++
						}
					}
					return got, sent
				}
				narrow := func(s *Session) bool { return s.Info().Record != 0 }
				if got, sent := send(20 * time.Second); got != sent || narrow(a.session) || narrow(b.session) {
					t.Fatalf("a good path: %d of %d frames, %+v", got, sent, a.session.Info())
				}
				const most = 1392 // packets up to 1420 bytes
				n.impair(func(from, _ netip.AddrPort, d []byte) [][]byte {
					there := from == a.addr()
					if len(d) > most && (direction == "both" || there == (direction == "there")) {
						return nil
					}
					return [][]byte{d}
				})
				send(40 * time.Second)
				for _, e := range []*end{a, b} {
					if i := e.session.Info(); i.Record != 1372 || i.FullRecord != record.MaxSize || e.session.State() != Established {
						t.Errorf("%+v", i)
					}
				}
				if got, sent := send(10 * time.Second); got != sent {
					t.Errorf("a narrow path: %d of %d frames", got, sent)
				}
				n.impair(nil)
				send(30 * time.Second)
				if narrow(a.session) || narrow(b.session) {
					t.Errorf("mended: %+v", a.session.Info())
				}
				if got, sent := send(10 * time.Second); got != sent {
					t.Errorf("a mended path: %d of %d frames", got, sent)
				}
			})
		})
	}
}
