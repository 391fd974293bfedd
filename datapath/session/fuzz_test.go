package session

import (
	"bytes"
	"net/netip"
	"sync/atomic"
	"testing"

	"evio/datapath/frame"
	"evio/datapath/record"
	"evio/datapath/session/connect"
	"evio/datapath/session/path"
	"evio/datapath/session/rekey"
	"evio/datapath/udp"
)

// idle is a socket that sends nothing and receives nothing.
type idle struct{ closed chan struct{} }

func (i idle) Source(addr netip.Addr) udp.Source                           { return udp.Source{Addr: addr} }
func (i idle) Send(udp.Source, netip.AddrPort, []byte) error               { return nil }
func (i idle) SendRuns(udp.Source, netip.AddrPort, []udp.Run) (int, error) { return 0, nil }
func (i idle) Run(func([]udp.Datagram), func(error)) error                 { <-i.closed; return udp.ErrClosed }
func (i idle) Port() int                                                   { return 1 }
func (i idle) Offloads() udp.Offloads                                      { return udp.Offloads{} }
func (i idle) Stats() udp.Stats                                            { return udp.Stats{} }
func (i idle) Close() error                                                { close(i.closed); return nil }
func (i idle) deliver(t *Transport, d []byte) {
	from := netip.MustParseAddrPort("192.0.2.9:9")
	t.deliver([]udp.Datagram{{Local: netip.MustParseAddr("192.0.2.1"), Remote: from, Data: d}})
}

// established returns a session with keys and the keys of its peer, without a
// network.
func established(tb testing.TB) (*Session, *record.Keys, *recorder) {
	tb.Helper()
	socket := idle{make(chan struct{})}
	t, err := newTransport(Config{Key: newKey(tb)}, socket, nil, nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := t.Close(); err != nil {
			tb.Error(err)
		}
	})
	handler := newRecorder()
	s := &Session{
		transport: t,
		options:   Options{Handler: handler},
		state:     Connecting,
		index:     7,
		confirmed: make(chan struct{}),
		ending:    make(chan struct{}),
		events:    make(chan event, maxEvents),
	}
	s.limit.Store(record.MaxSize)
	secrets := record.Secrets{Exporter: []byte{1}, AEAD: record.AES128GCM, Remote: 7}
	own, err := record.Derive(secrets)
	if err != nil {
		tb.Fatal(err)
	}
	secrets.Lower = true
	peer, err := record.Derive(secrets)
	if err != nil {
		tb.Fatal(err)
	}
	s.keys.Begin(own, secrets)
	at := netip.MustParseAddrPort("192.0.2.1:1")
	s.path.Store(&boundPath{Route: path.Route{Local: at, Remote: netip.MustParseAddrPort("192.0.2.2:2")}, out: t.host(at)})
	sessions := map[uint32]*Session{7: s}
	t.sessions.Store(&sessions)
	tb.Cleanup(func() { t.sessions.Store(&map[uint32]*Session{}) })
	return s, peer, handler
}

// FuzzDatagram delivers anything to a transport with a connecting session: a
// stranger's datagram must never confirm keys or reach the handler.
func FuzzDatagram(f *testing.F) {
	s, peer, handler := established(f)
	conn, err := newTaggedConn(s, request{peer: connect.Parameters{Index: 7}, binding: [32]byte{1}}, new(atomic.Pointer[boundPath]))
	if err != nil {
		f.Fatal(err)
	}
	s.handshake.Store(conn)
	handshake := append([]byte{udp.FirstHandshake, 0, 0, 0, 7}, make([]byte, 40)...)
	genuine := seal(f, &peer.Send[0], record.AppendWhole(nil, uint8(Data), []byte("frame")))
	f.Add([]byte{})
	f.Add(handshake)
	f.Add(bytes.Clone(genuine)[:record.Overhead])
	f.Add([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
	f.Fuzz(func(t *testing.T, d []byte) {
		if bytes.Equal(d, genuine) {
			return
		}
		idle{}.deliver(s.transport, bytes.Clone(d))
		if len(handler.established)+len(handler.received)+conn.Inbox.Len() != 0 {
			t.Fatalf("%x got through", d)
		}
	})
}

// FuzzPlaintext delivers anything that the peer might seal: an authenticated
// peer must not be able to crash a node or make it hold much.
func FuzzPlaintext(f *testing.F) {
	s, peer, handler := established(f)
	s.transport.config.Offload.Merge = true
	s.Merge(frame.Kinds{TCP4: true, TCP6: true, UDP: true})
	f.Add([]byte{byte(Data), 0, 1, 2, 3})
	f.Add([]byte{byte(Data), 1, 0, 0, 0, 1, 0, 0, 0, 9, 1, 2, 3})
	f.Add(record.AppendPartial(nil, uint8(Data), superFrame(100).Data))
	f.Add(record.AppendPartial(nil, uint8(Data), []byte{1, 2, 3}))
	f.Add(record.AppendPartial(nil, uint8(Flood), superFrame(100).Data))
	f.Add(append([]byte{byte(Probe), 0, path.OpRequest}, make([]byte, 8)...))
	f.Add(append([]byte{byte(Probe), 0, path.OpAnswer}, make([]byte, 26)...))
	f.Add([]byte{byte(Probe), 0})
	f.Add([]byte{byte(Probe), 0, path.OpGoodbye})
	f.Add(path.AppendCandidates([]byte{byte(Probe), 0}, 7, strangers(0)))
	f.Add(path.AppendReceived([]byte{byte(Probe), 0}, 7))
	f.Add(path.AppendPadded([]byte{byte(Probe), 0}, path.OpSizeRequest, 7, record.MaxWhole))
	f.Add(path.AppendPadded([]byte{byte(Probe), 0}, path.OpSizeAnswer, 7, record.MaxWhole))
	f.Add([]byte{byte(Probe), 0, path.OpNarrow})
	f.Add([]byte{byte(Rekey), 0, rekey.OpFlight, 0, 0, 0, 1, 22, 254, 253})
	f.Add([]byte{byte(Rekey), 0, rekey.OpRequest, 0, 0, 0, 0})
	f.Add([]byte{77, 0, 1})
	f.Add(append([]byte{byte(Data), 2}, superFrame(100).Data...))
	f.Add(append([]byte{byte(Data), 2}, superFrame(0).Data...))
	f.Fuzz(func(t *testing.T, plain []byte) {
		if len(plain) > record.MaxPlain {
			return
		}
		before := s.traffic.rxRecords.Load()
		idle{}.deliver(s.transport, seal(t, &peer.Send[0], plain))
		if s.traffic.rxRecords.Load() != before+1 {
			t.Fatal("a genuine record was refused")
		}
		for len(handler.received) > 0 {
			for _, frame := range (<-handler.received).frames {
				if len(frame) == 0 || len(frame) > record.MaxFrame {
					t.Fatalf("a frame of %d bytes was delivered", len(frame))
				}
			}
		}
		handler.check(t)
	})
}

func BenchmarkReceive(b *testing.B) {
	s, peer, _ := established(b)
	s.options.Handler = discard{}
	var records record.Batch
	frame := make([]byte, 1414)
	local, from := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddrPort("192.0.2.2:2")
	batch := make([]udp.Datagram, 1)
	b.ReportAllocs()
	b.SetBytes(int64(len(frame)))
	for b.Loop() {
		records.Reset(record.MaxSize)
		records.Add(len(record.AppendWhole(records.Plain(), uint8(Data), frame)))
		if err := peer.Send[0].Seal(&records); err != nil {
			b.Fatal(err)
		}
		batch[0] = udp.Datagram{Local: local, Remote: from, Data: records.Runs()[0].Bytes}
		s.transport.deliver(batch)
	}
}

func BenchmarkSend(b *testing.B) {
	s, _, _ := established(b)
	s.state = Established
	frames := [][]byte{make([]byte, 1414)}
	b.ReportAllocs()
	b.SetBytes(int64(len(frames[0])))
	for b.Loop() {
		if err := s.Send(Data, frames); err != nil {
			b.Fatal(err)
		}
	}
}

// discard is a handler that does nothing.
type discard struct{}

func (discard) Parameters(*Session, []byte)      {}
func (discard) Established(*Session)             {}
func (discard) Receive(*Session, Kind, [][]byte) {}
func (discard) Frames(*Session, []frame.Frame)   {}
func (discard) Closed(*Session, error)           {}

func BenchmarkSendSuperFrames(b *testing.B) {
	s, _, _ := established(b)
	s.state = Established
	frames := []frame.Frame{superFrame(60000)}
	b.ReportAllocs()
	b.SetBytes(60000)
	for b.Loop() {
		if err := s.SendFrames(frames); err != nil {
			b.Fatal(err)
		}
	}
}
