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
	s, peer := addEstablished(tb, t, 7, handler)
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

// FuzzPlaintext delivers anything that the peer might seal, in a run that the kernel has merged:
// an authenticated peer must not be able to crash a node or make it hold much. Segments of a
// stream lie around it, so that it may continue one, or end it.
func FuzzPlaintext(f *testing.F) {
	s, peer, _ := established(f)
	s.transport.config.Offload.Merge = true
	s.Merge(frame.Kinds{TCP4: true, TCP6: true, UDP: true})
	around := stream(f, 1, 100, 400)
	for _, plain := range [][]byte{
		{byte(Data), 0, 1, 2, 3},
		{byte(Data), 1, 0, 0, 0, 1, 0, 0, 0, 9, 1, 2, 3},
		record.AppendPartial(nil, uint8(Data), []byte{1, 2, 3}),
		record.AppendPartial(nil, uint8(Flood), superFrame(100).Data),
		append([]byte{byte(Probe), 0, path.OpRequest}, make([]byte, 8)...),
		append([]byte{byte(Probe), 0, path.OpAnswer}, make([]byte, 26)...),
		{byte(Probe), 0},
		{byte(Probe), 0, path.OpGoodbye},
		path.AppendCandidates([]byte{byte(Probe), 0}, 7, strangers(0)),
		path.AppendReceived([]byte{byte(Probe), 0}, 7),
		path.AppendPadded([]byte{byte(Probe), 0}, path.OpSizeRequest, 7, record.MaxWhole),
		path.AppendPadded([]byte{byte(Probe), 0}, path.OpSizeAnswer, 7, record.MaxWhole),
		{byte(Probe), 0, path.OpNarrow},
		{byte(Rekey), 0, rekey.OpFlight, 0, 0, 0, 1, 22, 254, 253},
		{byte(Rekey), 0, rekey.OpRequest, 0, 0, 0, 0},
		{77, 0, 1},
		record.AppendPartial(nil, uint8(Data), superFrame(100).Data),
		record.AppendPartial(nil, uint8(Data), superFrame(0).Data),
		record.AppendPartial(nil, uint8(Data), around[1]),
	} {
		f.Add(plain, plain)
	}
	f.Add(record.AppendPartial(nil, uint8(Data), around[1]), record.AppendPartial(nil, uint8(Data), around[2]))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		if max(len(first), len(second)) > record.MaxPlain {
			return
		}
		handler := &unmerger{tb: t}
		s.options.Handler = handler
		before := s.traffic.rxRecords.Load()
		run := make([]byte, 0, 64<<10)
		var batch []udp.Datagram
		for _, plain := range [][]byte{record.AppendPartial(nil, uint8(Data), around[0]), first, second, record.AppendPartial(nil, uint8(Data), around[3])} {
			start := len(run)
			run = append(run, seal(t, &peer.Send[0], plain)...)
			batch = append(batch, udp.Datagram{Local: here, Remote: there, Data: run[start:]})
		}
		s.transport.deliver(batch)
		if s.traffic.rxRecords.Load() != before+uint64(len(batch)) {
			t.Fatal("a genuine record was refused")
		}
		came := handler.frames
		if n := len(came); n < 2 || !bytes.Equal(came[0].Data, around[0]) || !bytes.Equal(came[n-1].Data, around[3]) {
			t.Fatalf("%d frames came, or the segments around are others", n)
		}
		for _, f := range came {
			if len(f.Data) == 0 || len(f.Data) > record.MaxFrame {
				t.Fatalf("a frame of %d bytes was delivered", len(f.Data))
			}
		}
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
