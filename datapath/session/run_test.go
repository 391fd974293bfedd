package session

import (
	"bytes"
	"maps"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/stun/v4"

	"evio/datapath/frame"
	"evio/datapath/record"
	"evio/datapath/session/connect"
	"evio/datapath/session/path"
	"evio/datapath/udp"
)

// addEstablished gives a transport a session with keys, and returns the keys of its peer.
func addEstablished(tb testing.TB, t *Transport, index uint32, handler Handler) (*Session, *record.Keys) {
	tb.Helper()
	s := &Session{
		transport: t, options: Options{Handler: handler}, state: Connecting, index: index,
		confirmed: make(chan struct{}), ending: make(chan struct{}), events: make(chan event, maxEvents),
	}
	s.limit.Store(record.MaxSize)
	secrets := record.Secrets{Exporter: []byte{byte(index)}, AEAD: record.AES128GCM, Remote: index}
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
	at := netip.AddrPortFrom(here, 1)
	s.path.Store(&boundPath{Route: path.Route{Local: at, Remote: there}, out: t.host(at)})
	sessions := map[uint32]*Session{index: s}
	maps.Copy(sessions, *t.sessions.Load())
	t.sessions.Store(&sessions)
	tb.Cleanup(func() { t.sessions.Store(&map[uint32]*Session{}) })
	return s, peer
}

// chanHandler hands over frames by a channel.
type chanHandler struct {
	discard
	frames chan []byte
}

func (c chanHandler) Frames(_ *Session, frames []frame.Frame) {
	for _, f := range frames {
		c.frames <- bytes.Clone(f.Data)
	}
}

// TestRunReachesFourEnds: the kernel merges whatever datagrams of one size come from one address.
// A run of a STUN message, a handshake and the records of two overlays goes through the kernel in
// one piece, and each of the four gets what is its own.
func TestRunReachesFourEnds(t *testing.T) {
	transport, err := Listen(Config{Key: newKey(t), IncludeLoopback: true, Offload: AllOffloads()})
	if err != nil {
		t.Fatal(err)
	}
	defer transport.Close() //nolint:errcheck // ends the test
	sender, err := udp.New(0, udp.Offload{Send: true})
	if err != nil {
		t.Fatal(err)
	}
	defer sender.Close() //nolint:errcheck // ends the test
	if err := sender.Open(); err != nil {
		t.Fatal(err)
	}
	loopback := netip.MustParseAddr("127.0.0.1")
	to, from := netip.AddrPortFrom(loopback, uint16(transport.Port())), netip.AddrPortFrom(loopback, uint16(sender.Port()))

	const size = 200
	password, ufrag := "password-of-22-characters", "ufrag"
	view := transport.mux.View([]netip.AddrPort{to}, []netip.AddrPort{from}, password)
	agent, err := view.GetConn(ufrag, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	defer agent.Close() //nolint:errcheck // ends the test
	binding, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(ufrag+":peer"),
		stun.NewSoftware(string(bytes.Repeat([]byte{'x'}, 128))), stun.NewShortTermIntegrity(password), stun.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}

	blue, green := chanHandler{frames: make(chan []byte, 1)}, chanHandler{frames: make(chan []byte, 1)}
	_, bluePeer := addEstablished(t, transport, 7, blue)
	_, greenPeer := addEstablished(t, transport, 8, green)
	connecting, _ := addEstablished(t, transport, 9, discard{})
	want := request{peer: connect.Parameters{Index: 9}, binding: [32]byte{1}}
	var sent []byte
	tagged, err := connect.NewTaggedConn(true, 9, want.binding, func(d []byte) { sent = bytes.Clone(d) })
	if err != nil {
		t.Fatal(err)
	}
	expecting, err := newTaggedConn(connecting, want, new(atomic.Pointer[boundPath]))
	if err != nil {
		t.Fatal(err)
	}
	connecting.handshake.Store(expecting)
	if _, err := tagged.WriteTo(make([]byte, size-connect.HandshakeHeader), nil); err != nil {
		t.Fatal(err)
	}

	run := append(bytes.Clone(binding.Raw), sent...)
	for i, peer := range []*record.Keys{bluePeer, greenPeer} {
		var b record.Batch
		b.Reset(record.MaxSize)
		b.Add(len(record.AppendWhole(b.Plain(), uint8(Data), bytes.Repeat([]byte{byte(i + 1)}, size-record.Overhead-2))))
		if err := peer.Send[0].Seal(&b); err != nil {
			t.Fatal(err)
		}
		run = append(run, b.Runs()[0].Bytes...)
	}
	if len(run) != 4*size {
		t.Fatalf("the run has %d bytes, want %d: request %d, handshake %d", len(run), 4*size, len(binding.Raw), len(sent))
	}
	if n, err := sender.SendRuns(udp.Source{}, to, []udp.Run{{Bytes: run, Size: size}}); err != nil || n != 4 {
		t.Fatalf("%d datagrams sent, %v", n, err)
	}
	for i, h := range []chanHandler{blue, green} {
		if got := await(t, h.frames, "frame"); got[0] != byte(i+1) {
			t.Errorf("overlay %d has got the other's frame", i)
		}
	}
	buffer := make([]byte, 2*size)
	if err := agent.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if n, _, err := agent.ReadFrom(buffer); err != nil || !bytes.Equal(buffer[:n], binding.Raw) {
		t.Errorf("the agent has got %d bytes, %v; want the STUN message", n, err)
	}
	if expecting.Inbox.Len() != 1 {
		t.Error("the handshake has not reached its session")
	}
	stats := transport.Stats()
	if len(stats.Drops) != 0 || stats.Socket.Received["stun"] != 1 || stats.Socket.Received["handshake"] != 1 || stats.Socket.Received["record"] != 2 {
		t.Errorf("drops %v, received %v; want none, and each datagram by its own class", stats.Drops, stats.Socket.Received)
	}
	if out := sender.Stats(); out.SendCalls != 1 || out.Uncut != 0 {
		t.Errorf("%d calls, %d runs uncut: want one run in one call", out.SendCalls, out.Uncut)
	}
}
